// SPDX-License-Identifier: Apache-2.0
#include "documents.hpp"

#include <algorithm>
#include <cassert>

#include "rows.hpp"

namespace masks {
namespace {

/// The document that holds a token, for tokens asked in increasing order (over and over again).
class DocumentFinder {
 public:
  explicit DocumentFinder(std::span<const Document> documents)
      : starts_(document_starts(documents)) {}

  /// Index of the document, or the number of documents for padding.
  std::size_t find(std::int32_t token) {
    if (token < starts_[at_]) at_ = 0;
    while (at_ + 1 < starts_.size() && token >= starts_[at_ + 1]) ++at_;
    return at_;
  }
  [[nodiscard]] std::int32_t start(std::size_t document) const { return starts_[document]; }

 private:
  std::vector<std::int32_t> starts_;
  std::size_t at_ = 0;
};

}  // namespace

std::vector<std::int32_t> document_starts(std::span<const Document> documents) {
  std::vector<std::int32_t> starts{0};
  for (const Document& document : documents) {
    assert(document.length > 0);
    starts.push_back(starts.back() + document.length);
  }
  return starts;
}

reorder::Csr pack_documents(std::int32_t n, std::span<const Document> documents) {
  DocumentFinder finder(documents);
  return build_rows(n, n, [&](std::int32_t i, Row& row) {
    const std::size_t d = finder.find(i);
    if (d == documents.size()) return;
    const std::int32_t begin = finder.start(d);
    row.add(begin, std::max(i + 1, begin + documents[d].prompt));
  });
}

reorder::Csr pack_documents_with_sinks(std::int32_t n, std::span<const Document> documents,
                                       std::int32_t window, std::int32_t sinks) {
  DocumentFinder finder(documents);
  return build_rows(n, n, [&](std::int32_t i, Row& row) {
    const std::size_t d = finder.find(i);
    if (d == documents.size()) return;
    const std::int64_t begin = finder.start(d);
    const std::int64_t end = std::int64_t{i} + 1;
    row.add(begin, std::min(end, begin + sinks));
    row.add(std::max(begin, end - 1 - window), end);
  });
}

}  // namespace masks
