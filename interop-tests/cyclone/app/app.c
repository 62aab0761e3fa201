// A Cyclone DDS application that does what its stdin says, a line at a time, and says on its stdout, in
// JSON, what came of it. It knows nothing of plugins: which it uses, CYCLONEDDS_URI says.
//
//   participant NAME [domain=N] [external=N]
//   writer NAME KIND TOPIC [in=PARTICIPANT] [QOS...]
//   reader NAME KIND TOPIC [in=PARTICIPANT] [QOS...]
//       QOS: best-effort blocking=MS keep-all depth=N transient-local partition=A,B exclusive strength=N
//            deadline=MS lifespan=MS by-source manual separation=MS keep-instances no-psmx limit=N
//   matched ENDPOINT COUNT [within=MS]
//   write WRITER ID FIRST COUNT [mode=write|loan|cdr] [size=N] [every=US] [at=NS] [ids=N]
//   dispose|unregister|writedispose WRITER ID [size=N] [at=NS]
//   loan WRITER COUNT               ask for loans, and keep them
//   take READER [ends=N] [count=N] [within=MS] [mode=copy|loan|cdr] [keep]
//   release READER                  give back what was kept
//   drain READER [slow=US]          from now on take in a listener, and count
//   drained READER [count=N] [within=MS]
//   status ENDPOINT | history READER MS | acks WRITER MS | assert PARTICIPANT
//   delete NAME | clear (every endpoint) | sleep MS | exit | stop
//
// Every command is answered by one event "done", with `rc`, after those that are its result. A sample
// whose number is END or more marks the end of what is written: `take ends=N` waits for N of them.

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dds/ddsi/ddsi_serdata.h"
#include "kinds.h"

#define END 1000000u
#define MAX_ENTITIES 1024
#define MAX_WORDS 24
#define MAX_TAKEN 20000
#define MAX_INSTANCES 64

struct entity {
  char name[32];
  dds_entity_t handle;
  dds_entity_t topic;       // 0 for a participant
  const struct kind *kind;  // NULL for a participant
  // What `take keep` or `loan` has not given back.
  void **kept;
  int kept_count;
  // What the listener counts: written there, read by `drained`.
  ddsrt_atomic_uint32_t received, ends, disordered;
  // The last number of each instance that the listener saw lately.
  struct { dds_instance_handle_t instance; uint32_t seq; } last[MAX_INSTANCES];
  uint32_t slow;
};

static struct entity *entities[MAX_ENTITIES];
static char *words[MAX_WORDS];
static int word_count;

static void usage (const char *what)
{
  fprintf (stderr, "not understood: %s\n", what);
  exit (2);
}

static const char *word (int index)
{
  if (index >= word_count)
    usage ("a command with too few words");
  return words[index];
}

static long number (int index)
{
  return strtol (word (index), NULL, 0);
}

// The value of NAME=VALUE, "" for NAME alone, NULL if it is not there.
static const char *option (const char *name)
{
  size_t length = strlen (name);
  for (int i = 1; i < word_count; i++)
    if (strncmp (words[i], name, length) == 0 && (words[i][length] == '=' || words[i][length] == '\0'))
      return words[i] + length + (words[i][length] == '=');
  return NULL;
}

static long option_number (const char *name, long otherwise)
{
  const char *value = option (name);
  return value == NULL ? otherwise : strtol (value, NULL, 0);
}

static bool option_is (const char *name, const char *wanted)
{
  const char *value = option (name);
  return value != NULL && strcmp (value, wanted) == 0;
}

static void begin (const char *event)
{
  printf ("{\"event\":\"%s\"", event);
}

static void field (const char *name, int64_t value)
{
  printf (",\"%s\":%" PRId64, name, value);
}

static void text_field (const char *name, const char *value)
{
  printf (",\"%s\":\"%s\"", name, value);
}

static void end (void)
{
  puts ("}");
}

static void done (dds_return_t rc)
{
  begin ("done");
  text_field ("command", words[0]);
  field ("rc", rc < 0 ? rc : 0);
  if (rc < 0)
    text_field ("reason", dds_strretcode (rc));
  end ();
}

static struct entity *find (const char *name)
{
  for (int i = 0; i < MAX_ENTITIES; i++)
    if (entities[i] != NULL && strcmp (entities[i]->name, name) == 0)
      return entities[i];
  usage (name);
  return NULL;
}

static void enter (const char *name, dds_entity_t handle, dds_entity_t topic, const struct kind *kind)
{
  for (int i = 0; i < MAX_ENTITIES; i++)
  {
    if (entities[i] != NULL)
      continue;
    entities[i] = calloc (1, sizeof **entities);
    snprintf (entities[i]->name, sizeof entities[i]->name, "%s", name);
    entities[i]->handle = handle;
    entities[i]->topic = topic;
    entities[i]->kind = kind;
    return;
  }
  usage ("more entities than there is room for");
}

static void remove_entity (struct entity *entity)
{
  for (int i = 0; i < MAX_ENTITIES; i++)
    if (entities[i] == entity)
      entities[i] = NULL;
  free (entity->kept);
  free (entity);
}

static dds_entity_t participant (void)
{
  dds_domainid_t domain = (dds_domainid_t) option_number ("domain", 0);
  if (option ("external") != NULL)
  {
    // A domain of its own, which is another one's to everybody else.
    char configuration[4096];
    const char *all = getenv ("CYCLONEDDS_URI");
    snprintf (configuration, sizeof configuration,
              "%s,<CycloneDDS><Domain><Discovery><ExternalDomainId>%s</ExternalDomainId></Discovery></Domain></CycloneDDS>",
              all == NULL ? "" : all, option ("external"));
    dds_entity_t created = dds_create_domain (domain, configuration);
    if (created < 0)
      return created;
  }
  return dds_create_participant (domain, NULL, NULL);
}

// The names of A,B,C, which stay in `copy`.
static uint32_t names (const char *text, const char **list, uint32_t most, char *copy, size_t room)
{
  uint32_t count = 0;
  snprintf (copy, room, "%s", text);
  for (char *rest = copy, *name; count < most && (name = strsep (&rest, ",")) != NULL;)
    if (*name != '\0')
      list[count++] = name;
  return count;
}

static dds_qos_t *qos (void)
{
  dds_qos_t *qos = dds_create_qos ();
  bool is_writer = strcmp (words[0], "writer") == 0;
  if (option ("best-effort"))
    dds_qset_reliability (qos, DDS_RELIABILITY_BEST_EFFORT, 0);
  else
    dds_qset_reliability (qos, DDS_RELIABILITY_RELIABLE, DDS_MSECS (option_number ("blocking", 10000)));
  if (option ("keep-all"))
    dds_qset_history (qos, DDS_HISTORY_KEEP_ALL, 0);
  else
    dds_qset_history (qos, DDS_HISTORY_KEEP_LAST, (int32_t) option_number ("depth", 1));
  if (option ("limit"))
    dds_qset_resource_limits (qos, (int32_t) option_number ("limit", -1), DDS_LENGTH_UNLIMITED, DDS_LENGTH_UNLIMITED);
  if (option ("transient-local"))
  {
    dds_qset_durability (qos, DDS_DURABILITY_TRANSIENT_LOCAL);
    if (is_writer)
      dds_qset_durability_service (qos, 0,
                                   option ("keep-all") ? DDS_HISTORY_KEEP_ALL : DDS_HISTORY_KEEP_LAST,
                                   (int32_t) option_number ("depth", 1), DDS_LENGTH_UNLIMITED,
                                   DDS_LENGTH_UNLIMITED, DDS_LENGTH_UNLIMITED);
  }
  if (option ("exclusive"))
    dds_qset_ownership (qos, DDS_OWNERSHIP_EXCLUSIVE);
  if (is_writer && option ("strength"))
    dds_qset_ownership_strength (qos, (int32_t) option_number ("strength", 0));
  if (option ("deadline"))
    dds_qset_deadline (qos, DDS_MSECS (option_number ("deadline", 0)));
  if (is_writer && option ("lifespan"))
    dds_qset_lifespan (qos, DDS_MSECS (option_number ("lifespan", 0)));
  if (option ("by-source"))
    dds_qset_destination_order (qos, DDS_DESTINATIONORDER_BY_SOURCE_TIMESTAMP);
  if (option ("manual"))
    dds_qset_liveliness (qos, DDS_LIVELINESS_MANUAL_BY_PARTICIPANT, DDS_MSECS (option_number ("manual", 1000)));
  if (!is_writer && option ("separation"))
    dds_qset_time_based_filter (qos, DDS_MSECS (option_number ("separation", 0)));
  if (is_writer && option ("keep-instances"))
    dds_qset_writer_data_lifecycle (qos, false);
  char copy[256];
  const char *list[8];
  if (option ("psmx"))
    dds_qset_psmx_instances (qos, names (option ("psmx"), list, 8, copy, sizeof copy), list);
  if (option ("partition"))
    dds_qset_partition (qos, names (option ("partition"), list, 8, copy, sizeof copy), list);
  dds_qset_userdata (qos, words[1], strlen (words[1]));
  return qos;
}

static dds_return_t endpoint (void)
{
  const struct kind *kind = find_kind (word (2));
  if (kind == NULL)
    usage (words[2]);
  dds_entity_t participant = find (option ("in") != NULL ? option ("in") : "p")->handle;
  dds_entity_t topic = dds_create_topic (participant, kind->descriptor, word (3), NULL, NULL);
  if (topic < 0)
    return topic;
  dds_qos_t *wanted = qos ();
  dds_entity_t handle = strcmp (words[0], "writer") == 0
    ? dds_create_writer (participant, topic, wanted, NULL)
    : dds_create_reader (participant, topic, wanted, NULL);
  dds_delete_qos (wanted);
  if (handle < 0)
  {
    dds_delete (topic);
    return handle;
  }
  enter (words[1], handle, topic, kind);
  return 0;
}

static bool is_writer (const struct entity *entity)
{
  dds_publication_matched_status_t status;
  return dds_get_publication_matched_status (entity->handle, &status) == 0;
}

static uint32_t matched_count (const struct entity *entity)
{
  dds_publication_matched_status_t publication;
  if (dds_get_publication_matched_status (entity->handle, &publication) == 0)
    return publication.current_count;
  dds_subscription_matched_status_t subscription;
  if (dds_get_subscription_matched_status (entity->handle, &subscription) == 0)
    return subscription.current_count;
  return 0;
}

// Looks once a millisecond until it is so, or `within` is over.
static bool wait_until (bool (*holds) (struct entity *), struct entity *entity, long otherwise)
{
  dds_time_t deadline = dds_time () + DDS_MSECS (option_number ("within", otherwise));
  while (!holds (entity))
  {
    if (dds_time () > deadline)
      return false;
    dds_sleepfor (DDS_MSECS (1));
  }
  return true;
}

static bool is_matched (struct entity *entity)
{
  return matched_count (entity) == (uint32_t) number (2);
}

static dds_return_t matched (void)
{
  struct entity *entity = find (word (1));
  return wait_until (is_matched, entity, 10000) ? 0 : DDS_RETCODE_TIMEOUT;
}

// What /proc/self/maps says of an address: access and path.
static void mapping (const void *address, char *text, size_t room)
{
  FILE *maps = fopen ("/proc/self/maps", "r");
  char line[1024];
  snprintf (text, room, "none");
  while (maps != NULL && fgets (line, sizeof line, maps) != NULL)
  {
    uintptr_t from, to;
    char access[8] = "", path[512] = "";
    if (sscanf (line, "%" SCNxPTR "-%" SCNxPTR " %7s %*s %*s %*s %511[^\n]", &from, &to, access, path) >= 3
        && from <= (uintptr_t) address && (uintptr_t) address < to)
      snprintf (text, room, "%s %s", access, path);
  }
  if (maps != NULL)
    fclose (maps);
}

static dds_return_t write_one (struct entity *writer, uint32_t id, uint32_t seq, dds_time_t at, char *where, size_t room)
{
  const dds_topic_descriptor_t *descriptor = writer->kind->descriptor;
  uint32_t size = (uint32_t) option_number ("size", 10);
  void *sample;
  dds_return_t rc;
  if (option_is ("mode", "loan"))
  {
    if ((rc = dds_request_loan (writer->handle, &sample)) < 0)
      return rc;
    if (where != NULL)
      mapping (sample, where, room);
    memset (sample, 0, descriptor->m_size);
    writer->kind->fill (sample, id, seq, size);
    rc = dds_write_ts (writer->handle, sample, at);
    // Of a write that failed, the loan is still ours.
    if (rc < 0)
      (void) dds_return_loan (writer->handle, &sample, 1);
    return rc;
  }
  sample = dds_alloc (descriptor->m_size);
  memset (sample, 0, descriptor->m_size);
  writer->kind->fill (sample, id, seq, size);
  if (option_is ("mode", "cdr"))
  {
    const struct ddsi_sertype *type;
    if ((rc = dds_get_entity_sertype (writer->handle, &type)) == 0)
    {
      struct ddsi_serdata *serdata = ddsi_serdata_from_sample (type, SDK_DATA, sample);
      serdata->statusinfo = 0;
      serdata->timestamp.v = at;
      rc = dds_forwardcdr (writer->handle, serdata);
    }
  }
  else
    rc = dds_write_ts (writer->handle, sample, at);
  dds_sample_free (sample, descriptor, DDS_FREE_ALL);
  return rc;
}

static void write_many (void)
{
  struct entity *writer = find (word (1));
  uint32_t id = (uint32_t) number (2), first = (uint32_t) number (3), count = (uint32_t) number (4);
  uint32_t ids = (uint32_t) option_number ("ids", 1), written = 0;
  long every = option_number ("every", 0), at = option_number ("at", 0);
  dds_return_t rc = 0;
  char where[600] = "";
  dds_time_t start = dds_time (), longest = 0;
  for (uint32_t i = 0; i < count; i++)
  {
    if (every > 0)
      dds_sleepfor (start + i * DDS_USECS (every) - dds_time ());
    dds_time_t before = dds_time ();
    dds_return_t result = write_one (writer, id + i % ids, first + i, at == 0 ? before : at + i, where, sizeof where);
    dds_time_t took = dds_time () - before;
    longest = took > longest ? took : longest;
    if (result < 0)
      rc = result;
    else
      written++;
  }
  begin ("written");
  field ("count", written);
  field ("longest_us", longest / 1000);
  if (where[0] != '\0')
    text_field ("mapping", where);
  end ();
  done (rc);
}

static dds_return_t write_key (void)
{
  struct entity *writer = find (word (1));
  const dds_topic_descriptor_t *descriptor = writer->kind->descriptor;
  void *sample = dds_alloc (descriptor->m_size);
  memset (sample, 0, descriptor->m_size);
  writer->kind->fill (sample, (uint32_t) number (2), 0, (uint32_t) option_number ("size", 10));
  dds_time_t at = option_number ("at", 0) == 0 ? dds_time () : option_number ("at", 0);
  dds_return_t rc;
  if (strcmp (words[0], "dispose") == 0)
    rc = dds_dispose_ts (writer->handle, sample, at);
  else if (strcmp (words[0], "unregister") == 0)
    rc = dds_unregister_instance_ts (writer->handle, sample, at);
  else
    rc = dds_writedispose_ts (writer->handle, sample, at);
  dds_sample_free (sample, descriptor, DDS_FREE_ALL);
  return rc;
}

static dds_return_t loan (void)
{
  struct entity *writer = find (word (1));
  int count = (int) number (2);
  writer->kept = realloc (writer->kept, (size_t) (writer->kept_count + count) * sizeof (void *));
  for (int i = 0; i < count; i++)
  {
    dds_return_t rc = dds_request_loan (writer->handle, &writer->kept[writer->kept_count]);
    if (rc < 0)
      return rc;
    writer->kept_count++;
  }
  return 0;
}

// The name of the writer of a sample, which is its user data.
static void writer_name (const struct entity *reader, dds_instance_handle_t publication, char *name, size_t room)
{
  snprintf (name, room, "-");
  dds_builtintopic_endpoint_t *data = dds_get_matched_publication_data (reader->handle, publication);
  if (data == NULL)
    return;
  void *value = NULL;
  size_t size = 0;
  if (dds_qget_userdata (data->qos, &value, &size) && value != NULL)
    snprintf (name, room, "%.*s", (int) size, (const char *) value);
  dds_free (value);
  dds_builtintopic_free_endpoint (data);
}

static void print_sample (const struct entity *reader, const void *sample, const dds_sample_info_t *info, bool in_place)
{
  char line[512], writer[32];
  size_t used = (size_t) reader->kind->print_key (line, sizeof line, sample);
  if (info->valid_data)
  {
    used += (size_t) snprintf (line + used, sizeof line - used, "%sseq=%" PRIu32 " ", used > 0 ? " " : "", reader->kind->seq (sample));
    used += (size_t) reader->kind->print_rest (line + used, sizeof line - used, sample);
  }
  const char *state = info->instance_state == DDS_IST_ALIVE ? "alive"
    : info->instance_state == DDS_IST_NOT_ALIVE_DISPOSED ? "disposed" : "no-writers";
  writer_name (reader, info->publication_handle, writer, sizeof writer);
  used += (size_t) snprintf (line + used, sizeof line - used, " [%s %s %s %u.%u from %s",
                             info->valid_data ? "data" : "no-data", state,
                             info->view_state == DDS_VST_NEW ? "new" : "known",
                             info->disposed_generation_count, info->no_writers_generation_count, writer);
  // Times of the present are not to be compared.
  if (info->source_timestamp < DDS_SECS (1000000))
    used += (size_t) snprintf (line + used, sizeof line - used, " at %" PRId64, info->source_timestamp);
  snprintf (line + used, sizeof line - used, "]");
  begin ("sample");
  text_field ("reader", reader->name);
  text_field ("text", line);
  if (in_place)
  {
    char where[600];
    mapping (sample, where, sizeof where);
    text_field ("mapping", where);
  }
  end ();
}

// Whether what `take` waits for is there; takes nothing, and changes no state.
static bool is_there (struct entity *reader)
{
  static void *samples[MAX_TAKEN];
  static dds_sample_info_t infos[MAX_TAKEN];
  long ends = option_number ("ends", 0), count = option_number ("count", 0);
  samples[0] = NULL;
  int found = dds_peek (reader->handle, samples, infos, MAX_TAKEN, MAX_TAKEN);
  for (int i = 0; i < found; i++)
  {
    if (infos[i].valid_data)
      count--;
    if (infos[i].valid_data && reader->kind->seq (samples[i]) >= END)
      ends--;
  }
  if (found > 0)
    (void) dds_return_loan (reader->handle, samples, found);
  return ends <= 0 && count <= 0;
}

static void take (void)
{
  static void *samples[MAX_TAKEN];
  static struct ddsi_serdata *serialised[MAX_TAKEN];
  static dds_sample_info_t infos[MAX_TAKEN];
  struct entity *reader = find (word (1));
  const dds_topic_descriptor_t *descriptor = reader->kind->descriptor;
  bool in_time = wait_until (is_there, reader, 10000);
  bool in_place = option_is ("mode", "loan");
  int found;
  if (option_is ("mode", "cdr"))
  {
    found = dds_takecdr (reader->handle, serialised, MAX_TAKEN, infos, DDS_ANY_STATE);
    for (int i = 0; i < found; i++)
    {
      samples[i] = dds_alloc (descriptor->m_size);
      memset (samples[i], 0, descriptor->m_size);
      if (!(serialised[i]->kind == SDK_DATA
            ? ddsi_serdata_to_sample (serialised[i], samples[i], NULL, NULL)
            : ddsi_serdata_untyped_to_sample (serialised[i]->type, serialised[i], samples[i], NULL, NULL)))
        usage ("a serialised sample");
      ddsi_serdata_unref (serialised[i]);
    }
  }
  else if (in_place)
  {
    samples[0] = NULL;
    found = dds_take (reader->handle, samples, infos, MAX_TAKEN, MAX_TAKEN);
  }
  else
  {
    // No more than there are: each is allocated whole.
    int room = (int) option_number ("room", descriptor->m_size > 65536 ? 32 : 2000);
    for (int i = 0; i < room; i++)
    {
      samples[i] = dds_alloc (descriptor->m_size);
      memset (samples[i], 0, descriptor->m_size);
    }
    found = dds_take (reader->handle, samples, infos, (size_t) room, (uint32_t) room);
    for (int i = found < 0 ? 0 : found; i < room; i++)
      dds_free (samples[i]);
  }
  for (int i = 0; i < found; i++)
    print_sample (reader, samples[i], &infos[i], in_place);
  if (found > 0 && in_place && option ("keep") != NULL)
  {
    reader->kept = realloc (reader->kept, (size_t) (reader->kept_count + found) * sizeof (void *));
    memcpy (reader->kept + reader->kept_count, samples, (size_t) found * sizeof (void *));
    reader->kept_count += found;
  }
  else if (found > 0 && in_place)
    (void) dds_return_loan (reader->handle, samples, found);
  else
    for (int i = 0; i < found; i++)
      dds_sample_free (samples[i], descriptor, DDS_FREE_ALL);
  done (found < 0 ? found : in_time ? 0 : DDS_RETCODE_TIMEOUT);
}

static dds_return_t release (void)
{
  struct entity *reader = find (word (1));
  dds_return_t rc = dds_return_loan (reader->handle, reader->kept, reader->kept_count);
  reader->kept_count = 0;
  return rc;
}

static bool is_in_order (struct entity *reader, dds_instance_handle_t instance, uint32_t seq)
{
  int place = 0;
  while (place < MAX_INSTANCES && reader->last[place].instance != instance && reader->last[place].instance != 0)
    place++;
  if (place == MAX_INSTANCES)
    place = (int) (instance % MAX_INSTANCES);
  bool is_known = reader->last[place].instance == instance;
  bool in_order = !is_known || reader->last[place].seq < seq;
  reader->last[place].instance = instance;
  reader->last[place].seq = seq;
  return in_order;
}

static void on_data (dds_entity_t handle, void *argument)
{
  struct entity *reader = argument;
  void *samples[64];
  dds_sample_info_t infos[64];
  int found;
  do
  {
    samples[0] = NULL;
    found = dds_take (handle, samples, infos, 64, 64);
    for (int i = 0; i < found; i++)
    {
      if (!infos[i].valid_data)
        continue;
      uint32_t seq = reader->kind->seq (samples[i]);
      if (seq >= END)
      {
        ddsrt_atomic_inc32 (&reader->ends);
        continue;
      }
      if (!is_in_order (reader, infos[i].instance_handle, seq))
        ddsrt_atomic_inc32 (&reader->disordered);
      ddsrt_atomic_inc32 (&reader->received);
      if (reader->slow > 0)
        dds_sleepfor (DDS_USECS (reader->slow));
    }
    if (found > 0)
      (void) dds_return_loan (handle, samples, found);
  } while (found == 64);
}

static dds_return_t drain (void)
{
  struct entity *reader = find (word (1));
  reader->slow = (uint32_t) option_number ("slow", 0);
  dds_listener_t *listener = dds_create_listener (reader);
  dds_lset_data_available (listener, on_data);
  dds_return_t rc = dds_set_listener (reader->handle, listener);
  dds_delete_listener (listener);
  // What came before.
  on_data (reader->handle, reader);
  return rc;
}

static bool is_drained (struct entity *reader)
{
  return ddsrt_atomic_ld32 (&reader->received) >= (uint32_t) option_number ("count", 0)
    && ddsrt_atomic_ld32 (&reader->ends) >= (uint32_t) option_number ("ends", 0);
}

static void drained (void)
{
  struct entity *reader = find (word (1));
  bool in_time = wait_until (is_drained, reader, 10000);
  begin ("drained");
  text_field ("reader", reader->name);
  field ("count", ddsrt_atomic_ld32 (&reader->received));
  field ("ends", ddsrt_atomic_ld32 (&reader->ends));
  field ("disordered", ddsrt_atomic_ld32 (&reader->disordered));
  end ();
  done (in_time ? 0 : DDS_RETCODE_TIMEOUT);
}

static void status (void)
{
  struct entity *entity = find (word (1));
  begin ("status");
  field ("matched", matched_count (entity));
  if (is_writer (entity))
  {
    dds_offered_incompatible_qos_status_t incompatible;
    dds_offered_deadline_missed_status_t missed;
    dds_liveliness_lost_status_t lost;
    (void) dds_get_offered_incompatible_qos_status (entity->handle, &incompatible);
    (void) dds_get_offered_deadline_missed_status (entity->handle, &missed);
    (void) dds_get_liveliness_lost_status (entity->handle, &lost);
    field ("incompatible", incompatible.total_count);
    field ("deadline_missed", missed.total_count);
    field ("liveliness_lost", lost.total_count);
  }
  else
  {
    dds_requested_incompatible_qos_status_t incompatible;
    dds_requested_deadline_missed_status_t missed;
    dds_sample_lost_status_t lost;
    dds_sample_rejected_status_t rejected;
    dds_liveliness_changed_status_t liveliness;
    (void) dds_get_requested_incompatible_qos_status (entity->handle, &incompatible);
    (void) dds_get_requested_deadline_missed_status (entity->handle, &missed);
    (void) dds_get_sample_lost_status (entity->handle, &lost);
    (void) dds_get_sample_rejected_status (entity->handle, &rejected);
    (void) dds_get_liveliness_changed_status (entity->handle, &liveliness);
    field ("incompatible", incompatible.total_count);
    field ("deadline_missed", missed.total_count);
    field ("lost", lost.total_count);
    field ("rejected", rejected.total_count);
    field ("alive", liveliness.alive_count);
    field ("not_alive", liveliness.not_alive_count);
  }
  end ();
  done (0);
}

static dds_return_t delete (struct entity *entity)
{
  dds_return_t rc = dds_delete (entity->handle);
  if (rc == 0 && entity->topic != 0)
    rc = dds_delete (entity->topic);
  remove_entity (entity);
  return rc;
}

static dds_return_t clear (void)
{
  dds_return_t rc = 0;
  for (int i = 0; i < MAX_ENTITIES && rc == 0; i++)
    if (entities[i] != NULL && entities[i]->topic != 0)
      rc = delete (entities[i]);
  return rc;
}

// Whether to go on.
static bool obey (void)
{
  const char *command = words[0];
  if (strcmp (command, "participant") == 0)
  {
    dds_entity_t handle = participant ();
    if (handle > 0)
      enter (word (1), handle, 0, NULL);
    done (handle);
  }
  else if (strcmp (command, "writer") == 0 || strcmp (command, "reader") == 0)
    done (endpoint ());
  else if (strcmp (command, "matched") == 0)
    done (matched ());
  else if (strcmp (command, "write") == 0)
    write_many ();
  else if (strcmp (command, "dispose") == 0 || strcmp (command, "unregister") == 0 || strcmp (command, "writedispose") == 0)
    done (write_key ());
  else if (strcmp (command, "loan") == 0)
    done (loan ());
  else if (strcmp (command, "take") == 0)
    take ();
  else if (strcmp (command, "release") == 0)
    done (release ());
  else if (strcmp (command, "drain") == 0)
    done (drain ());
  else if (strcmp (command, "drained") == 0)
    drained ();
  else if (strcmp (command, "status") == 0)
    status ();
  else if (strcmp (command, "history") == 0)
    done (dds_reader_wait_for_historical_data (find (word (1))->handle, DDS_MSECS (number (2))));
  else if (strcmp (command, "acks") == 0)
    done (dds_wait_for_acks (find (word (1))->handle, DDS_MSECS (number (2))));
  else if (strcmp (command, "assert") == 0)
    done (dds_assert_liveliness (find (word (1))->handle));
  else if (strcmp (command, "delete") == 0)
    done (delete (find (word (1))));
  else if (strcmp (command, "clear") == 0)
    done (clear ());
  else if (strcmp (command, "sleep") == 0)
  {
    dds_sleepfor (DDS_MSECS (number (1)));
    done (0);
  }
  else if (strcmp (command, "exit") == 0)
    _exit (0);
  else if (strcmp (command, "stop") == 0)
    return false;
  else
    usage (command);
  return true;
}

int main (void)
{
  char *line = NULL;
  size_t room = 0;
  setvbuf (stdout, NULL, _IOLBF, 0);
  begin ("ready");
  end ();
  while (getline (&line, &room, stdin) > 0)
  {
    word_count = 0;
    for (char *word = strtok (line, " \n"); word != NULL && word_count < MAX_WORDS; word = strtok (NULL, " \n"))
      words[word_count++] = word;
    if (word_count > 0 && !obey ())
      break;
  }
  (void) dds_delete (DDS_CYCLONEDDS_HANDLE);
  begin ("stopped");
  end ();
  free (line);
  return 0;
}
