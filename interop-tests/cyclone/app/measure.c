// One end of a measurement between two Cyclone DDS applications. It knows nothing of plugins: which it
// uses, CYCLONEDDS_URI says.
//
//   measure ping|pong|pub|sub|idle SIZE copy|loan MILLISECONDS
//
// Both ends run until the time is over, and those who measure print one JSON object. RELIABLE; samples are
// taken by loan, sixteen at most, in the data-available listener. Of a sample only the number is written:
// with `copy` dds_write copies all of it, with `loan` it is written where it lies. A loan may come with
// old octets, and they stay.
//
// ping/pong: KEEP_LAST 1; round-trip times. pub/sub: KEEP_ALL, so that nothing may be lost; samples that
// arrived, per second. idle: what ping and pong cost while nothing is sent.

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "dds/dds.h"
#include "dds/ddsrt/atomics.h"
#include "sizes.h"

#define SETTLE DDS_MSECS (300)
#define MAX_TIMES (1u << 22)

static dds_entity_t in, out;
static size_t size;
static bool by_loan;
static uint64_t *sample;
// Of the listener's thread; the main thread looks at `received` and `count`, and reads the rest when no
// more comes.
static ddsrt_atomic_uint64_t received;
static uint64_t first_at, last_at;
static uint32_t *times;
static uint64_t sent_at;
static ddsrt_atomic_uint32_t count;
static ddsrt_atomic_uint32_t is_over;

static void check (dds_return_t rc, const char *what)
{
  if (rc >= 0)
    return;
  fprintf (stderr, "%s: %s\n", what, dds_strretcode (rc));
  exit (1);
}

static uint64_t now (void)
{
  struct timespec time;
  clock_gettime (CLOCK_MONOTONIC, &time);
  return (uint64_t) time.tv_sec * 1000000000u + (uint64_t) time.tv_nsec;
}

static dds_return_t write_number (uint64_t number)
{
  if (!by_loan)
  {
    *sample = number;
    return dds_write (out, sample);
  }
  void *loan;
  dds_return_t rc = dds_request_loan (out, &loan);
  if (rc < 0)
    return rc;
  *(uint64_t *) loan = number;
  return dds_write (out, loan);
}

static void send_ping (void)
{
  sent_at = now ();
  check (write_number (ddsrt_atomic_ld32 (&count) + 1), "ping");
}

static void on_pong (uint64_t number)
{
  uint32_t done = ddsrt_atomic_ld32 (&count);
  // A second answer, to a ping that was sent again.
  if (number != done + 1)
    return;
  if (done < MAX_TIMES)
    times[done] = (uint32_t) (now () - sent_at);
  ddsrt_atomic_st32 (&count, done + 1);
  if (ddsrt_atomic_ld32 (&is_over) == 0)
    send_ping ();
}

static void on_ping (uint64_t number)
{
  check (write_number (number), "pong");
}

static void on_sample (uint64_t number)
{
  uint64_t before = ddsrt_atomic_ld64 (&received);
  (void) number;
  last_at = now ();
  if (before == 0)
    first_at = last_at;
  ddsrt_atomic_st64 (&received, before + 1);
}

static void on_data (dds_entity_t reader, void *argument)
{
  void (*on_number) (uint64_t) = *(void (**) (uint64_t)) argument;
  void *samples[16];
  dds_sample_info_t infos[16];
  int found;
  do
  {
    samples[0] = NULL;
    found = dds_take (reader, samples, infos, 16, 16);
    check (found, "take");
    uint64_t numbers[16];
    for (int i = 0; i < found; i++)
      numbers[i] = infos[i].valid_data ? *(uint64_t *) samples[i] : 0;
    if (found > 0)
      check (dds_return_loan (reader, samples, found), "return");
    for (int i = 0; i < found; i++)
      if (numbers[i] != 0)
        on_number (numbers[i]);
  } while (found == 16);
}

static int by_time (const void *a, const void *b)
{
  uint32_t x = *(const uint32_t *) a, y = *(const uint32_t *) b;
  return (x > y) - (x < y);
}

static void wait_matched (dds_entity_t entity, bool is_writer)
{
  for (int i = 0; i < 10000; i++)
  {
    dds_publication_matched_status_t publication = { .current_count = 0 };
    dds_subscription_matched_status_t subscription = { .current_count = 0 };
    check (is_writer ? dds_get_publication_matched_status (entity, &publication)
                     : dds_get_subscription_matched_status (entity, &subscription), "status");
    if (publication.current_count + subscription.current_count > 0)
      return;
    dds_sleepfor (DDS_MSECS (1));
  }
  fprintf (stderr, "no other end\n");
  exit (1);
}

// Until the other end is gone.
static void wait_unmatched (void)
{
  dds_subscription_matched_status_t matched;
  do
  {
    dds_sleepfor (DDS_MSECS (10));
    check (dds_get_subscription_matched_status (in, &matched), "status");
  } while (matched.current_count > 0);
}

static uint64_t processor_time_us (void)
{
  struct rusage usage;
  getrusage (RUSAGE_SELF, &usage);
  return (uint64_t) (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000u
    + (uint64_t) (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

int main (int argc, char **argv)
{
  if (argc != 5)
    return 2;
  const char *role = argv[1];
  size = (size_t) strtoul (argv[2], NULL, 0);
  by_loan = strcmp (argv[3], "loan") == 0;
  dds_duration_t time = DDS_MSECS (strtol (argv[4], NULL, 0));
  const dds_topic_descriptor_t *descriptor =
    size == sizeof (sizes_Of64) ? &sizes_Of64_desc : size == sizeof (sizes_Of4Ki) ? &sizes_Of4Ki_desc
    : size == sizeof (sizes_Of64Ki) ? &sizes_Of64Ki_desc : size == sizeof (sizes_Of1Mi) ? &sizes_Of1Mi_desc : NULL;
  if (descriptor == NULL)
    return 2;
  sample = calloc (1, size);
  times = malloc (MAX_TIMES * sizeof *times);

  bool is_ping = strcmp (role, "ping") == 0, is_pong = strcmp (role, "pong") == 0;
  bool is_pub = strcmp (role, "pub") == 0, is_sub = strcmp (role, "sub") == 0;
  bool is_idle = strcmp (role, "idle") == 0;
  dds_entity_t participant = dds_create_participant (DDS_DOMAIN_DEFAULT, NULL, NULL);
  check (participant, "participant");
  dds_qos_t *qos = dds_create_qos ();
  dds_qset_reliability (qos, DDS_RELIABILITY_RELIABLE, DDS_SECS (10));
  if (is_pub || is_sub)
    dds_qset_history (qos, DDS_HISTORY_KEEP_ALL, 0);
  else
    dds_qset_history (qos, DDS_HISTORY_KEEP_LAST, 1);
  dds_qset_ignorelocal (qos, DDS_IGNORELOCAL_PARTICIPANT);
  const char *there = is_pong ? "Pong" : "Ping", *back = is_pong ? "Ping" : "Pong";
  void (*on_number) (uint64_t) = is_pong ? on_ping : is_ping ? on_pong : on_sample;
  if (!is_sub)
  {
    dds_entity_t topic = dds_create_topic (participant, descriptor, there, NULL, NULL);
    check (topic, "topic");
    out = dds_create_writer (participant, topic, qos, NULL);
    check (out, "writer");
  }
  if (!is_pub)
  {
    dds_entity_t topic = dds_create_topic (participant, descriptor, is_sub || is_idle ? "Ping" : back, NULL, NULL);
    check (topic, "topic");
    dds_listener_t *listener = dds_create_listener (&on_number);
    dds_lset_data_available (listener, on_data);
    in = dds_create_reader (participant, topic, qos, listener);
    check (in, "reader");
  }
  if (out != 0)
    wait_matched (out, true);
  if (in != 0)
    wait_matched (in, false);
  dds_sleepfor (SETTLE);

  if (is_ping)
  {
    send_ping ();
    dds_time_t end = dds_time () + time;
    while (dds_time () < end)
    {
      uint32_t before = ddsrt_atomic_ld32 (&count);
      dds_sleepfor (DDS_MSECS (200));
      // KEEP_LAST 1 may lose; a ping that got lost ends nothing.
      if (ddsrt_atomic_ld32 (&count) == before)
        send_ping ();
    }
    ddsrt_atomic_st32 (&is_over, 1);
    dds_sleepfor (DDS_MSECS (50));
    uint32_t measured = ddsrt_atomic_ld32 (&count) < MAX_TIMES ? ddsrt_atomic_ld32 (&count) : MAX_TIMES;
    // What comes first fills caches and tables.
    uint32_t skip = measured / 10;
    qsort (times + skip, measured - skip, sizeof *times, by_time);
    uint32_t *sorted = times + skip;
    measured -= skip;
    if (measured == 0)
      return 1;
    printf ("{\"count\":%" PRIu32 ",\"min\":%" PRIu32 ",\"p50\":%" PRIu32 ",\"p90\":%" PRIu32 ",\"p99\":%" PRIu32 "}\n",
            measured, sorted[0], sorted[measured / 2], sorted[(uint64_t) measured * 9 / 10], sorted[(uint64_t) measured * 99 / 100]);
  }
  else if (is_pub)
  {
    dds_time_t end = dds_time () + time;
    uint64_t number = 0;
    while (dds_time () < end)
      for (int i = 0; i < (size < 10000 ? 64 : 1); i++)
        check (write_number (++number), "write");
    check (dds_wait_for_acks (out, DDS_SECS (10)), "acks");
    dds_sleepfor (DDS_MSECS (200));
    printf ("{\"sent\":%" PRIu64 "}\n", number);
  }
  else if (is_sub)
  {
    wait_unmatched ();
    uint64_t arrived = ddsrt_atomic_ld64 (&received);
    double seconds = (double) (last_at - first_at) / 1e9;
    printf ("{\"received\":%" PRIu64 ",\"per_second\":%.1f}\n", arrived, seconds > 0 ? (double) arrived / seconds : 0);
  }
  else if (is_idle)
  {
    uint64_t before = processor_time_us ();
    dds_sleepfor (time);
    printf ("{\"processor_us\":%" PRIu64 "}\n", processor_time_us () - before);
  }
  else
    wait_unmatched ();
  fflush (stdout);
  check (dds_delete (DDS_CYCLONEDDS_HANDLE), "delete");
  return 0;
}
