// SPDX-License-Identifier: Apache-2.0
#include "strategies/metis_parts.hpp"

namespace reorder {

StrategyPtr make_metis_bipartite() {
  return make_metis_parts(
      "metis_bipartite",
      "recursive bisection of the graph of rows and columns by METIS, both sides cut evenly",
      "Karypis and Kumar, Multilevel algorithms for multi-constraint graph partitioning, SC98; "
      "METIS_PartGraphRecursive",
      metis::Method::recursive_bisection, metis::Vertices::rows_and_columns);
}

}  // namespace reorder
