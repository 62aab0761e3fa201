#include "kinds.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "types.h"

// FNV-1a, so that content of any size is a word of text.
static uint32_t digest (const void *memory, size_t size)
{
  const unsigned char *bytes = memory;
  uint32_t hash = 2166136261u;
  for (size_t i = 0; i < size; i++)
    hash = (hash ^ bytes[i]) * 16777619u;
  return hash;
}

// Bytes that differ between samples, and between places in a sample.
static void pattern (void *memory, size_t size, uint32_t seq)
{
  unsigned char *bytes = memory;
  for (size_t i = 0; i < size; i++)
    bytes[i] = (unsigned char) (seq * 31 + i * 7 + (i >> 8));
}

static char *words (const char *before, uint32_t number, uint32_t size)
{
  char *text = dds_alloc (size + 64);
  int length = snprintf (text, 64, "%s %" PRIu32 " ", before, number);
  for (uint32_t i = 0; i < size; i++)
    text[length++] = (char) ('a' + (number + i) % 26);
  text[length] = '\0';
  return text;
}

static const char *or_empty (const char *text)
{
  return text == NULL ? "" : text;
}

#define SEQ(KIND) \
  static uint32_t KIND##_seq (const void *sample) { return (uint32_t) ((const app_##KIND *) sample)->seq; }
#define KEY(KIND, ...) \
  static int KIND##_key (char *text, size_t room, const void *sample) \
  { const app_##KIND *s = sample; (void) s; return snprintf (text, room, __VA_ARGS__); }
#define REST(KIND, ...) \
  static int KIND##_rest (char *text, size_t room, const void *sample) \
  { const app_##KIND *s = sample; return snprintf (text, room, __VA_ARGS__); }
#define FILL(KIND) static void KIND##_fill (void *sample, uint32_t id, uint32_t seq, uint32_t size)

FILL (Fixed64)
{
  app_Fixed64 *s = sample;
  (void) size;
  s->seq = seq;
  s->id = id;
  for (size_t i = 0; i < 6; i++)
    s->values[i] = seq + (double) i / 8;
  pattern (s->bytes, sizeof s->bytes, seq);
}
SEQ (Fixed64)
KEY (Fixed64, "%s", "")
REST (Fixed64, "id=%" PRIu32 " values=%g..%g bytes=%08" PRIx32,
      s->id, s->values[0], s->values[5], digest (s->bytes, sizeof s->bytes))

FILL (KeyedByNumber)
{
  app_KeyedByNumber *s = sample;
  (void) size;
  s->id = id;
  s->seq = seq;
  s->value = -(int64_t) seq;
  pattern (s->bytes, sizeof s->bytes, seq);
}
SEQ (KeyedByNumber)
KEY (KeyedByNumber, "id=%" PRIu32, s->id)
REST (KeyedByNumber, "value=%" PRId64 " bytes=%08" PRIx32, s->value, digest (s->bytes, sizeof s->bytes))

FILL (KeyedByTwo)
{
  app_KeyedByTwo *s = sample;
  (void) size;
  s->seq = seq;
  s->id = (int16_t) -(int) id;
  s->value = seq / 4.0;
  pattern (s->id_again, sizeof s->id_again, id);
}
SEQ (KeyedByTwo)
KEY (KeyedByTwo, "id=%d/%08" PRIx32, s->id, digest (s->id_again, sizeof s->id_again))
REST (KeyedByTwo, "value=%g", s->value)

FILL (Large)
{
  app_Large *s = sample;
  (void) size;
  s->seq = seq;
  s->id = id;
  pattern (s->bytes, sizeof s->bytes, seq);
}
SEQ (Large)
KEY (Large, "%s", "")
REST (Large, "id=%" PRIu64 " bytes=%08" PRIx32, s->id, digest (s->bytes, sizeof s->bytes))

FILL (KeyedByName)
{
  app_KeyedByName *s = sample;
  s->name = words ("instance", id, size);
  s->seq = seq;
  s->value = seq * 0.5;
}
SEQ (KeyedByName)
KEY (KeyedByName, "name=%.20s~%08" PRIx32,
     or_empty (s->name), digest (or_empty (s->name), strlen (or_empty (s->name))))
REST (KeyedByName, "value=%g", s->value)

FILL (Letter)
{
  app_Letter *s = sample;
  s->seq = seq;
  s->id = id;
  s->text = words ("text", seq, size);
  snprintf (s->short_text, sizeof s->short_text, "short %" PRIu32, seq);
}
SEQ (Letter)
KEY (Letter, "%s", "")
REST (Letter, "id=%" PRIu32 " text=%.20s~%08" PRIx32 " short=%s",
      s->id, or_empty (s->text), digest (or_empty (s->text), strlen (or_empty (s->text))), s->short_text)

FILL (Blob)
{
  app_Blob *s = sample;
  s->seq = seq;
  s->id = id;
  s->bytes._length = s->bytes._maximum = size;
  s->bytes._buffer = size == 0 ? NULL : dds_alloc (size);
  s->bytes._release = true;
  pattern (s->bytes._buffer, size, seq);
  s->values._length = s->values._maximum = seq % 9;
  s->values._buffer = seq % 9 == 0 ? NULL : dds_alloc ((seq % 9) * sizeof (double));
  s->values._release = true;
  for (uint32_t i = 0; i < seq % 9; i++)
    s->values._buffer[i] = seq + i;
}
SEQ (Blob)
KEY (Blob, "%s", "")
REST (Blob, "id=%" PRIu32 " bytes=%" PRIu32 "~%08" PRIx32 " values=%" PRIu32 "~%08" PRIx32,
      s->id, s->bytes._length, digest (s->bytes._buffer, s->bytes._length),
      s->values._length, digest (s->values._buffer, s->values._length * sizeof (double)))

static void fill_inner (app_Inner *inner, uint32_t number, uint32_t size)
{
  uint32_t count = number % 4;
  inner->colour = (app_Colour) (number % 3);
  inner->flag = number % 2 == 1;
  inner->words._length = inner->words._maximum = count;
  inner->words._buffer = count == 0 ? NULL : dds_alloc (count * sizeof (char *));
  inner->words._release = true;
  for (uint32_t i = 0; i < count; i++)
    inner->words._buffer[i] = words ("word", i, size);
}

static uint32_t digest_inner (const app_Inner *inner)
{
  uint32_t hash = (uint32_t) inner->colour * 2 + inner->flag;
  for (uint32_t i = 0; i < inner->words._length; i++)
    hash = hash * 31 + digest (inner->words._buffer[i], strlen (inner->words._buffer[i]));
  return hash;
}

FILL (Nested)
{
  app_Nested *s = sample;
  s->seq = seq;
  s->key_colour = (app_Colour) (id % 3);
  s->id = id;
  fill_inner (&s->inner, seq, size);
  s->many._length = s->many._maximum = seq % 3;
  s->many._buffer = seq % 3 == 0 ? NULL : dds_alloc ((seq % 3) * sizeof (app_Inner));
  s->many._release = true;
  for (uint32_t i = 0; i < seq % 3; i++)
    fill_inner (&s->many._buffer[i], seq + i, size);
  s->choice._d = (app_Colour) (seq % 3);
  if (s->choice._d == app_RED)
    s->choice._u.number = -(int32_t) seq;
  else if (s->choice._d == app_GREEN)
    s->choice._u.text = words ("choice", seq, size);
  else
    s->choice._u.value = seq / 2.0;
  if (seq % 2 == 0)
  {
    s->maybe = dds_alloc (sizeof *s->maybe);
    *s->maybe = seq;
  }
}
SEQ (Nested)
KEY (Nested, "key=%d", (int) s->key_colour)
static int Nested_rest (char *text, size_t room, const void *sample)
{
  const app_Nested *s = sample;
  uint32_t many = s->many._length;
  for (uint32_t i = 0; i < s->many._length; i++)
    many = many * 31 + digest_inner (&s->many._buffer[i]);
  uint32_t choice;
  if (s->choice._d == app_RED)
    choice = (uint32_t) s->choice._u.number;
  else if (s->choice._d == app_GREEN)
    choice = digest (s->choice._u.text, strlen (s->choice._u.text));
  else
    choice = digest (&s->choice._u.value, sizeof s->choice._u.value);
  return snprintf (text, room, "id=%" PRIu32 " inner=%08" PRIx32 " many=%08" PRIx32 " choice=%d~%08" PRIx32 " maybe=%g",
                   s->id, digest_inner (&s->inner), many, (int) s->choice._d, choice,
                   s->maybe == NULL ? -1 : *s->maybe);
}

FILL (Growing)
{
  app_Growing *s = sample;
  (void) size;
  s->id = id;
  s->seq = seq;
  s->value = -(int32_t) seq;
#ifdef EVOLVED
  s->added = seq / 8.0;
#endif
}
SEQ (Growing)
KEY (Growing, "id=%" PRIu32, s->id)
#ifdef EVOLVED
REST (Growing, "value=%" PRId32 " added=%g", s->value, s->added)
#else
REST (Growing, "value=%" PRId32, s->value)
#endif

FILL (Changing)
{
  app_Changing *s = sample;
  (void) size;
  s->id = id;
  s->seq = seq;
  s->value = seq / 8.0;
#ifdef EVOLVED
  s->added = words ("added", seq, size);
#endif
}
SEQ (Changing)
KEY (Changing, "id=%" PRIu32, s->id)
#ifdef EVOLVED
REST (Changing, "value=%g added=%.20s", s->value, or_empty (s->added))
#else
REST (Changing, "value=%g", s->value)
#endif

FILL (Stiff)
{
  app_Stiff *s = sample;
  (void) size;
  s->seq = seq;
  s->id = id;
}
SEQ (Stiff)
KEY (Stiff, "%s", "")
REST (Stiff, "id=%" PRIu32, s->id)

typedef interop_Sample app_Sample;

FILL (Sample)
{
  app_Sample *s = sample;
  (void) size;
  (void) id;
  s->value = seq;
}
static uint32_t Sample_seq (const void *sample) { return ((const app_Sample *) sample)->value; }
KEY (Sample, "%s", "")
REST (Sample, "value=%" PRIu32, s->value)

#define app_Sample_desc interop_Sample_desc
#define KIND(NAME) { #NAME, &app_##NAME##_desc, NAME##_fill, NAME##_seq, NAME##_key, NAME##_rest }
static const struct kind kinds[] = {
  KIND (Fixed64), KIND (KeyedByNumber), KIND (KeyedByTwo), KIND (Large), KIND (KeyedByName), KIND (Letter),
  KIND (Blob), KIND (Nested), KIND (Growing), KIND (Changing), KIND (Stiff),
  KIND (Sample),
};

const struct kind *find_kind (const char *name)
{
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
    if (strcmp (kinds[i].name, name) == 0)
      return &kinds[i];
  return NULL;
}
