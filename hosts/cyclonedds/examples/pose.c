/* The half of the cross-vendor example that is an application of Cyclone DDS, and of nothing else. The
 * other half is cross_vendor.rs; how both are built and run is in the README.
 *
 *   pose write COUNT   writes so many poses, when a reader is there or after two seconds
 *   pose read COUNT    reads so many poses, in place, and says when their writer has left */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dds/dds.h"
#include "Pose.h"

static dds_entity_t checked (dds_entity_t result, const char *what)
{
  if (result < 0)
  {
    fprintf (stderr, "%s: %s\n", what, dds_strretcode (result));
    exit (1);
  }
  return result;
}

static void write_poses (dds_entity_t participant, dds_entity_t topic, const dds_qos_t *qos, uint64_t count)
{
  dds_entity_t writer = checked (dds_create_writer (participant, topic, qos, NULL), "create a writer");
  dds_sleepfor (DDS_SECS (2));
  for (uint64_t number = 1; number <= count; number++)
  {
    void *loan;
    /* Memory in the segment: what is written into it is not copied any more. */
    checked (dds_request_loan (writer, &loan), "request a loan");
    example_Pose *pose = loan;
    pose->number = number;
    pose->x = (double) number;
    pose->y = 2.0 * (double) number;
    pose->z = -1.0;
    checked (dds_write (writer, pose), "write");
  }
  printf ("wrote %llu poses\n", (unsigned long long) count);
  fflush (stdout);
  dds_sleepfor (DDS_SECS (1));
}

static void read_poses (dds_entity_t participant, dds_entity_t topic, const dds_qos_t *qos, uint64_t count)
{
  dds_entity_t reader = checked (dds_create_reader (participant, topic, qos, NULL), "create a reader");
  uint64_t expected = 1;
  for (int tries = 0; tries < 30000; tries++)
  {
    void *sample = NULL;
    dds_sample_info_t info;
    dds_return_t taken = checked (dds_take (reader, &sample, &info, 1, 1), "take");
    if (taken == 0)
    {
      dds_sleepfor (DDS_MSECS (1));
      continue;
    }
    const example_Pose *pose = sample;
    if (info.valid_data)
    {
      if (pose->number != expected || pose->y != 2.0 * (double) expected)
      {
        fprintf (stderr, "pose %llu is not what was written\n", (unsigned long long) expected);
        exit (1);
      }
      if (expected++ == count)
        printf ("read %llu poses\n", (unsigned long long) count);
    }
    else if (info.instance_state == DDS_NOT_ALIVE_NO_WRITERS_INSTANCE_STATE)
    {
      printf ("the writer has left\n");
      return;
    }
    dds_return_loan (reader, &sample, taken);
  }
  fprintf (stderr, "read %llu poses, and their writer is still there\n", (unsigned long long) expected - 1);
  exit (1);
}

int main (int argc, char **argv)
{
  if (argc != 3)
  {
    fprintf (stderr, "usage: pose write|read COUNT\n");
    return 2;
  }
  uint64_t count = strtoull (argv[2], NULL, 10);
  dds_entity_t participant = checked (dds_create_participant (DDS_DOMAIN_DEFAULT, NULL, NULL), "create a participant");
  dds_entity_t topic = checked (dds_create_topic (participant, &example_Pose_desc, "Pose", NULL, NULL), "create a topic");
  dds_qos_t *qos = dds_create_qos ();
  dds_qset_reliability (qos, DDS_RELIABILITY_RELIABLE, DDS_SECS (10));
  dds_qset_history (qos, DDS_HISTORY_KEEP_ALL, 0);
  if (strcmp (argv[1], "write") == 0)
    write_poses (participant, topic, qos, count);
  else
    read_poses (participant, topic, qos, count);
  dds_delete_qos (qos);
  dds_delete (participant);
  return 0;
}
