/* SPDX-License-Identifier: Apache-2.0
 *
 * The C interface of an ordering plugin: a shared object that exports
 *
 *     const reorder_plugin* blockfill_plugin(void);
 *
 * Build it with any compiler and any language that can speak C; no library of this project is
 * needed. Run it with `blockfill ... --plugin ./libmine.so`, or put its folder into
 * REORDER_PLUGIN_PATH.
 */
#ifndef REORDER_PLUGIN_H
#define REORDER_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Raised when a change breaks plugins built before it. New fields go to the end of a struct and
 * are found by struct_size; they do not raise it. */
#define REORDER_PLUGIN_ABI 1

/* A mask, borrowed for the time of the call: row i allows the columns
 * col_indices[row_offsets[i] .. row_offsets[i + 1]), strictly increasing. */
typedef struct reorder_mask {
  size_t struct_size;
  int32_t n_rows;
  int32_t n_cols;
  const int64_t* row_offsets; /* n_rows + 1 */
  const int32_t* col_indices; /* row_offsets[n_rows] */
  int32_t tile_rows;          /* the tile shape to pack for */
  int32_t tile_cols;
  uint64_t seed;   /* the same seed must give the same answer, on any number of threads */
  int32_t threads; /* as many as may be used, at least 1 */
} reorder_mask;

typedef struct reorder_plugin_strategy {
  size_t struct_size;
  const char* name;    /* [a-z][a-z0-9_]* */
  const char* summary; /* one line */
  int32_t rectangular; /* non-zero when n_rows != n_cols is accepted */

  /* Writes rows_new_to_old[n_rows] and cols_new_to_old[n_cols]: the old index of what now stands
   * at each place. `params` is the text between the parentheses of "mine(fast)", "" without any,
   * never null; a text that is no word stands in quotes, mine("a=1,b=2"). The caller checks that
   * both are permutations. Returns 0, or another number after writing a sentence of at most
   * error_size - 1 characters to `error`. Must be safe to call from several threads at once, and
   * must not throw, print or exit. */
  int32_t (*order)(const reorder_mask* mask, const char* params, int32_t* rows_new_to_old,
                   int32_t* cols_new_to_old, char* error, size_t error_size, void* user);
  void* user; /* passed back to order */
} reorder_plugin_strategy;

typedef struct reorder_plugin {
  uint32_t abi; /* REORDER_PLUGIN_ABI; stays the first field for ever */
  size_t struct_size;
  const reorder_plugin_strategy* const* strategies; /* n_strategies pointers */
  size_t n_strategies;
} reorder_plugin;

typedef const reorder_plugin* (*blockfill_plugin_fn)(void);

#ifdef __cplusplus
}
#endif

#endif
