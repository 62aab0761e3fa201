// The types of types.idl as the application handles all of them: made, told from one another, and
// written out as text.

#ifndef KINDS_H
#define KINDS_H

#include <stddef.h>
#include <stdint.h>

#include "dds/dds.h"

struct kind {
  const char *name;
  const dds_topic_descriptor_t *descriptor;
  // Fills zeroed memory; what it allocates is freed by dds_sample_free. `size` is of what has no size
  // of its own.
  void (*fill) (void *sample, uint32_t id, uint32_t seq, uint32_t size);
  uint32_t (*seq) (const void *sample);
  // The members that a sample has when it is known by its key alone.
  int (*print_key) (char *text, size_t room, const void *sample);
  // All the others.
  int (*print_rest) (char *text, size_t room, const void *sample);
};

// NULL if there is none of this name.
const struct kind *find_kind (const char *name);

#endif
