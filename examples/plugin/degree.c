/* SPDX-License-Identifier: Apache-2.0
 *
 * An ordering of one's own, outside BlockFill's build: rows and columns by their number of entries,
 * most first. It needs one header of the project and no library:
 *
 *     gcc -O2 -shared -fPIC -I <blockfill>/libreorder/include degree.c -o libdegree.so
 *     blockfill reorder --plugin ./libdegree.so --pipeline degree ...
 *
 * `degree("fewest")` puts the emptiest first.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reorder/plugin.h"

typedef struct line {
  int64_t degree;
  int32_t index;
} line;

/* Ties go by index, so that the answer never depends on the sorting algorithm. */
static int most_first(const void* a, const void* b) {
  const line* x = (const line*)a;
  const line* y = (const line*)b;
  if (x->degree != y->degree) return x->degree > y->degree ? -1 : 1;
  return x->index < y->index ? -1 : x->index > y->index;
}

static void sort_lines(line* lines, int32_t n, int fewest, int32_t* new_to_old) {
  for (int32_t i = 0; i < n; ++i) {
    lines[i].index = i;
    if (fewest) lines[i].degree = -lines[i].degree;
  }
  qsort(lines, (size_t)n, sizeof(line), most_first);
  for (int32_t i = 0; i < n; ++i) new_to_old[i] = lines[i].index;
}

static int32_t order(const reorder_mask* mask, const char* params, int32_t* rows_new_to_old,
                     int32_t* cols_new_to_old, char* error, size_t error_size, void* user) {
  (void)user;
  const int fewest = strcmp(params, "fewest") == 0;
  if (!fewest && params[0] != '\0') {
    snprintf(error, error_size, "the parameter is \"fewest\" or nothing, not \"%s\"", params);
    return 1;
  }
  line* rows = (line*)calloc((size_t)mask->n_rows + 1, sizeof(line));
  line* cols = (line*)calloc((size_t)mask->n_cols + 1, sizeof(line));
  if (rows == NULL || cols == NULL) {
    free(rows);
    free(cols);
    snprintf(error, error_size, "out of memory");
    return 2;
  }
  for (int32_t i = 0; i < mask->n_rows; ++i) {
    rows[i].degree = mask->row_offsets[i + 1] - mask->row_offsets[i];
  }
  for (int64_t k = 0; k < mask->row_offsets[mask->n_rows]; ++k) ++cols[mask->col_indices[k]].degree;
  sort_lines(rows, mask->n_rows, fewest, rows_new_to_old);
  sort_lines(cols, mask->n_cols, fewest, cols_new_to_old);
  free(rows);
  free(cols);
  return 0;
}

static const reorder_plugin_strategy degree = {
    sizeof(reorder_plugin_strategy),
    "degree",
    "rows and columns by their number of entries, most first",
    1,
    order,
    NULL,
};

static const reorder_plugin_strategy* const strategies[] = {&degree};

static const reorder_plugin plugin = {REORDER_PLUGIN_ABI, sizeof(reorder_plugin), strategies, 1};

const reorder_plugin* blockfill_plugin(void) {
  return &plugin;
}
