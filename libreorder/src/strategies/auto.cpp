// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "graph.hpp"
#include "random.hpp"
#include "refine.hpp"
#include "reorder/pipeline.hpp"
#include "strategies/make.hpp"

namespace reorder {
namespace {

// Work is counted in entries read or prices looked at. One core of a 2020s server does this much of
// it in a second; the rate turns seconds into work and nothing else depends on it.
constexpr double kWorkPerSecond = 2.5e8;
// A run that takes this many times the seconds it was given is cut short: a slow machine.
constexpr double kPatience = 4;

constexpr double kWorkToEvaluate = 0.5;  // an entry, by the objective
// No search is begun with less, an entry: a round takes more than this.
constexpr double kWorkToSearch = 40;

constexpr double kSearchCost = 0.6;  // of what it counts: two cores do more of it in a second

constexpr double kWorkToAnneal = 15;  // an entry, where rows are alike

constexpr double kWorthReordering = 0.995;  // less gain than this is not worth a gather
constexpr double kSymmetricMayCost = 1.01;  // one token order serves a whole network
constexpr double kNearTheBound = 1.01;
constexpr std::size_t kRefined = 3;  // starts that get a short search
constexpr double kHopeless = 1.5;    // times the best start
constexpr int kTrialRounds = 2;
constexpr int kMostRounds = 40;

/// What can be seen of a mask in one pass.
struct Features {
  double n = 0;  ///< rows and columns
  double nnz = 0;
  bool square = false;
  bool symmetric = false;  ///< by its degrees and a sample of its entries
  std::int64_t hubs = 0;   ///< rows and columns above 8 times the median degree
  bool like_rows = false;  ///< by a sample: rows have many others like them
  double shared = 0;       ///< entries that `grow` reads, roughly: rows of each column, by tile

  Features(const CsrView& mask, Tile tile)
      : n(static_cast<double>(mask.n_rows) + mask.n_cols),
        nnz(static_cast<double>(mask.nnz())),
        square(mask.is_square()) {
    const std::vector<std::int32_t> rows = row_degrees(mask);
    const std::vector<std::int32_t> cols = col_degrees(mask);
    const double common = hub_threshold(cols);
    hubs = count_above(rows, hub_threshold(rows)) + count_above(cols, common);
    for (const double degree : cols) {
      if (degree <= common) shared += degree * std::ceil(degree / tile.rows);
    }
    symmetric = square && rows == cols && mirrored_in_a_sample(mask);
    like_rows = alike_in_a_sample(mask, cols, common);
  }

 private:
  static double hub_threshold(std::vector<std::int32_t> degrees) {
    std::erase(degrees, 0);
    if (degrees.empty()) return 0;
    const auto middle = degrees.begin() + static_cast<std::ptrdiff_t>(degrees.size() / 2);
    std::nth_element(degrees.begin(), middle, degrees.end());
    return 8.0 * *middle;
  }

  static std::int64_t count_above(const std::vector<std::int32_t>& degrees, double threshold) {
    return std::count_if(degrees.begin(), degrees.end(),
                         [&](std::int32_t degree) { return degree > threshold; });
  }

  /// Whether many rows have half of their keys in common with a dozen others: 16 rows are compared
  /// with each eighth row. Keys more common than `common` do not count.
  static bool alike_in_a_sample(const CsrView& mask, const std::vector<std::int32_t>& col_degrees,
                                double common) {
    constexpr std::int32_t kSeeds = 16;
    constexpr std::int32_t kStride = 8;
    constexpr std::int32_t kAlike = 2;  // of a dozen, an eighth is looked at
    if (mask.nnz() == 0) return false;
    const auto counts = [&](std::int32_t col) {
      return col_degrees[static_cast<std::size_t>(col)] <= common;
    };
    std::vector<std::uint16_t> seeds_of(static_cast<std::size_t>(mask.n_cols));
    std::array<std::int32_t, kSeeds> size{};
    Random random(1);
    for (std::int32_t seed = 0; seed < kSeeds; ++seed) {
      const auto row =
          static_cast<std::int32_t>(random.below(static_cast<std::uint32_t>(mask.n_rows)));
      for (const std::int32_t col : mask.row(row)) {
        if (!counts(col)) continue;
        seeds_of[static_cast<std::size_t>(col)] |= static_cast<std::uint16_t>(1U << seed);
        ++size[static_cast<std::size_t>(seed)];
      }
    }
    std::array<std::int32_t, kSeeds> alike{};
    for (std::int32_t row = 0; row < mask.n_rows; row += std::min(kStride, mask.n_rows - row)) {
      std::array<std::int32_t, kSeeds> shared{};
      std::int32_t own = 0;
      for (const std::int32_t col : mask.row(row)) {
        own += counts(col);
        for (unsigned left = seeds_of[static_cast<std::size_t>(col)]; left != 0; left &= left - 1) {
          ++shared[static_cast<std::size_t>(std::countr_zero(left))];
        }
      }
      for (std::size_t k = 0; k < kSeeds; ++k) {
        alike[k] += shared[k] > 0 && 2 * shared[k] >= size[k] + own - shared[k];
      }
    }
    return std::count_if(alike.begin(), alike.end(), [](std::int32_t n) { return n >= kAlike; }) >=
           kSeeds / 4;
  }

  static bool mirrored_in_a_sample(const CsrView& mask) {
    if (mask.nnz() == 0) return true;
    Random random(0);
    for (int tried = 0; tried < 1000; ++tried) {
      const auto row =
          static_cast<std::int32_t>(random.below(static_cast<std::uint32_t>(mask.n_rows)));
      if (mask.row(row).empty()) continue;
      const auto cols = mask.row(row);
      const std::int32_t col = cols[random.below(static_cast<std::uint32_t>(cols.size()))];
      const auto back = mask.row(col);
      if (!std::binary_search(back.begin(), back.end(), row)) return false;
    }
    return true;
  }
};

struct Candidate {
  std::string pipeline;
  double work = 0;  ///< what it is expected to take
};

/// Pipelines that can win on such a mask, the most promising first. Work as measured on masks of
/// 0.05 to 24 million entries.
std::vector<Candidate> candidates_for(const Features& f, const Objective& objective) {
  std::vector<Candidate> list;
  const std::string peel = f.hubs > 0 ? "peel|" : "";
  // What fills groups of rows begins at the edge of a tile.
  const std::string peel_last = f.hubs > 0 ? "peel(8,1)|" : "";
  if (f.square && !f.symmetric) list.push_back({"staircase", 5 * f.nnz + 100 * f.n});
  if (f.symmetric) list.push_back({peel + "rcm", 3 * f.nnz + 40 * f.n});
  list.push_back({peel + "signature|bipartite_rcm", 6 * f.nnz + 300 * f.n});
  list.push_back({"grow", 3 * f.nnz + 2 * f.shared + 200 * f.n});
  if (f.like_rows) {
    // Blocks of other sizes than a tile: bundles of a half and a quarter, then their best places.
    const double bundles = 6 * f.nnz + 2 * f.shared + 200 * f.n;
    const double places = kWorkToAnneal * f.nnz;
    list.push_back({"supervariable|anneal", bundles + places});
    list.push_back({peel_last + "grow(2)|anneal", bundles + places});
    list.push_back({peel_last + "grow(4)|anneal(4)", bundles + 2 * places});
  }
  if (objective.kind == Objective::Kind::gather) {
    list.push_back({peel_last + "hypergraph", 500 * f.nnz + 1000 * f.n});
  }
  list.push_back({peel + "metis_rb", 20 * f.nnz + 1500 * f.n});
  if (f.square) {
    list.push_back({"amd", 20 * f.nnz + 200 * f.n});
    list.push_back({"metis_nd", 20 * f.nnz + 1500 * f.n});
  }
  if (f.hubs > 0) list.push_back({"signature|bipartite_rcm", 6 * f.nnz + 300 * f.n});
  return list;
}

class Auto {
 public:
  Auto(const CsrView& mask, const Context& context, double seconds, double work)
      : mask_(mask),
        context_(context),
        registry_(Registry::with_builtins()),
        left_(work > 0 ? work : seconds * kWorkPerSecond),
        patience_(work > 0 ? 0 : kPatience * seconds) {
    context_.on_candidate = nullptr;
  }

  Ordering run() {
    add("natural", Ordering::identity(mask_.n_rows, mask_.n_cols), 0);
    left_ -= static_cast<double>(mask_.nnz());
    for (const Candidate& candidate :
         candidates_for(Features(mask_, context_.objective.tile), context_.objective)) {
      if (near_the_bound()) break;
      try_candidate(candidate);
    }
    refine_best();
    return choose();
  }

  [[nodiscard]] const std::vector<CandidateReport>& reports() const { return reports_; }

 private:
  using Clock = std::chrono::steady_clock;

  struct Found {
    std::size_t report;
    Ordering ordering;
    double objective;
  };

  [[nodiscard]] double seconds_since(Clock::time_point start) const {
    return std::chrono::duration<double>(Clock::now() - start).count();
  }
  [[nodiscard]] bool out_of_time() const {
    return patience_ > 0 && seconds_since(start_) > patience_;
  }

  void add(std::string pipeline, Ordering ordering, double seconds) {
    const double objective = evaluate(context_.objective, mask_, ordering);
    found_.push_back({reports_.size(), std::move(ordering), objective});
    reports_.push_back(
        {.pipeline = std::move(pipeline), .seconds = seconds, .objective = objective, .error = {}});
  }

  void skip(std::string pipeline, std::string reason) {
    reports_.push_back({.pipeline = std::move(pipeline), .error = std::move(reason)});
  }

  void try_candidate(const Candidate& candidate) {
    const double work = candidate.work + kWorkToEvaluate * static_cast<double>(mask_.nnz());
    if (work > left_) {
      return skip(candidate.pipeline, "not tried: expected work of " + text(work) + ", " +
                                          text(std::max(left_, 0.0)) + " is left");
    }
    if (out_of_time()) return skip(candidate.pipeline, "budget_cut");
    left_ -= work;
    try {
      const Clock::time_point start = Clock::now();
      Ordering ordering = order(parse_chain(candidate.pipeline), mask_);
      add(candidate.pipeline, std::move(ordering), seconds_since(start));
    } catch (const Error& error) {
      // A missing library or a shape that a strategy cannot take: the others can.
      skip(candidate.pipeline, error.what());
    }
  }

  Ordering order(std::span<const Call> chain, const CsrView& mask) const {
    std::size_t used = 0;
    Ordering ordering = order_by_first(chain, mask, used);
    if (used == chain.size()) return ordering;
    return ordering.then(order(chain.subspan(used), permute(mask, ordering)));
  }

  /// By the first stage of a chain, the reductions before it among the calls `used`.
  Ordering order_by_first(std::span<const Call> chain, const CsrView& mask,
                          std::size_t& used) const {
    const auto strategy = registry_.find(chain[used].name);
    const Params params = reorder::bind(chain[used], strategy->info().params);
    ++used;
    const auto* reduction = dynamic_cast<const Reduction*>(strategy.get());
    if (!reduction) return strategy->order(mask, params, context_);
    const Reduction::Reduced reduced = reduction->reduce(mask, params, context_);
    return reduced.expand(order_by_first(chain, reduced.mask, used));
  }

  /// Only for the objective that the bound is for.
  [[nodiscard]] bool near_the_bound() {
    if (context_.objective.kind != Objective::Kind::tiles) return false;
    if (!bound_) {
      bound_ = tile_lower_bound(mask_, context_.objective.tile);
      left_ -= static_cast<double>(mask_.nnz());
    }
    return std::any_of(found_.begin(), found_.end(), [&](const Found& found) {
      return found.objective <= kNearTheBound * static_cast<double>(*bound_);
    });
  }

  /// The best before the search is often not the best after it, so several get a short one, and
  /// parts of METIS always do: where they win, they are far behind at first.
  void refine_best() {
    if (near_the_bound() || left_ < kWorkToSearch * static_cast<double>(mask_.nnz())) return;
    std::vector<std::size_t> starts;
    for (std::size_t i = 0; i < found_.size(); ++i) starts.push_back(i);
    std::stable_sort(starts.begin(), starts.end(), [&](std::size_t a, std::size_t b) {
      return found_[a].objective < found_[b].objective;
    });
    const auto is_parts = [&](std::size_t i) {
      return reports_[found_[i].report].pipeline.ends_with("metis_rb");
    };
    const double hopeless = kHopeless * found_[starts[0]].objective;
    std::erase_if(starts, [&, previous = -1.0](std::size_t i) mutable {
      const double objective = found_[i].objective;
      // Two ways to the same value are as good as always two ways to the same order.
      const bool again = objective == std::exchange(previous, objective);
      return again || (objective > hopeless && !is_parts(i));
    });
    const auto last = std::find_if(starts.begin(), starts.end(), is_parts);
    // Fewer where the work that is left would not do for all.
    const auto affordable = static_cast<std::size_t>(
        left_ / (kWorkToSearch * static_cast<double>(std::max<std::int64_t>(mask_.nnz(), 1))));
    std::size_t n_starts = std::min({starts.size(), kRefined, affordable});
    if (last != starts.end() && last - starts.begin() >= static_cast<std::ptrdiff_t>(kRefined) &&
        affordable > kRefined) {
      std::rotate(starts.begin() + static_cast<std::ptrdiff_t>(n_starts), last, last + 1);
      ++n_starts;
    }
    starts.erase(starts.begin() + static_cast<std::ptrdiff_t>(n_starts), starts.end());

    std::size_t best_start = starts[0];
    double best = std::numeric_limits<double>::infinity();
    double work_of_round = 0;
    const double share = std::max(left_ / (2 * static_cast<double>(starts.size())),
                                  kWorkToSearch * static_cast<double>(mask_.nnz()));
    for (const std::size_t i : starts) {
      const std::optional<Refined> refined = search_from(i, kTrialRounds, share);
      if (!refined || refined->after >= best) continue;
      best = refined->after;
      best_start = i;
      work_of_round =
          kSearchCost * static_cast<double>(refined->work) / std::max(refined->rounds, 1);
    }
    if (work_of_round == 0 || near_the_bound()) return;
    const int rounds = static_cast<int>(std::min<double>(kMostRounds, left_ / work_of_round));
    if (rounds > kTrialRounds) search_from(best_start, rounds, left_);
  }

  /// Nothing when there was no time or work left for it.
  std::optional<Refined> search_from(std::size_t i, int rounds, double work_limit) {
    const std::string start_text = reports_[found_[i].report].pipeline;
    const auto text_of = [&](int n) { return start_text + "|swap(" + std::to_string(n) + ")"; };
    if (out_of_time()) {
      skip(text_of(rounds), "budget_cut");
      return std::nullopt;
    }
    const Clock::time_point start = Clock::now();
    Refined refined =
        refine(permute(mask_, found_[i].ordering), context_.objective,
               {.rounds = rounds,
                .work_limit = static_cast<std::int64_t>(std::max(work_limit / kSearchCost, 0.0)),
                .seed = context_.seed,
                .threads = context_.threads});
    left_ -= kSearchCost * static_cast<double>(refined.work);
    if (!refined.searched) {
      skip(text_of(rounds), "not tried: the work that is left is less than that of a round");
      return std::nullopt;
    }
    add(text_of(refined.rounds), found_[i].ordering.then(refined.ordering), seconds_since(start));
    return refined;
  }

  Ordering choose() {
    const auto better = [](const Found& a, const Found& b) { return a.objective < b.objective; };
    std::size_t chosen = static_cast<std::size_t>(
        std::min_element(found_.begin(), found_.end(), better) - found_.begin());
    const double best = found_[chosen].objective;
    for (std::size_t i = 0; i < found_.size(); ++i) {
      if (!found_[i].ordering.symmetric || found_[i].objective > kSymmetricMayCost * best) continue;
      if (!found_[chosen].ordering.symmetric || found_[i].objective < found_[chosen].objective) {
        chosen = i;
      }
    }
    if (found_[chosen].objective > kWorthReordering * found_[0].objective) chosen = 0;
    reports_[found_[chosen].report].chosen = true;
    return found_[chosen].ordering;
  }

  static std::string text(double work) {
    char buffer[32];
    std::snprintf(buffer, sizeof buffer, "%.3g", work);
    return buffer;
  }

  CsrView mask_;
  Context context_;
  Registry registry_;
  double left_;      ///< work
  double patience_;  ///< seconds; 0 is endless
  Clock::time_point start_ = Clock::now();
  std::optional<std::int64_t> bound_;
  std::vector<Found> found_;
  std::vector<CandidateReport> reports_;
};

}  // namespace

StrategyPtr make_auto() {
  return make_strategy(
      {.name = "auto",
       .summary = "tries the orderings that can win on such a mask within a budget, refines the "
                  "best and keeps the cheapest by the objective; never worse than natural",
       .citation = "own; after CHOLMOD's choice among orderings, Chen et al., TOMS 35 (2008)",
       .params = {{.name = "seconds",
                   .fallback = 5.0,
                   .min = 0,
                   .max = 1e6,
                   .summary = "budget on one core, turned into work by a fixed rate"},
                  {.name = "work",
                   .fallback = std::int64_t{0},
                   .min = 0,
                   .summary = "budget in entries looked at, instead of seconds; the same answer on "
                              "any machine"}}},
      [](const CsrView& mask, const Params& params, const Context& context) {
        Auto choice(mask, context, params.number("seconds"),
                    static_cast<double>(params.integer("work")));
        Ordering ordering = choice.run();
        if (context.on_candidate) {
          for (const CandidateReport& report : choice.reports()) context.on_candidate(report);
        }
        return ordering;
      });
}

}  // namespace reorder
