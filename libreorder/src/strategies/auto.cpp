// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <limits>
#include <numeric>
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

// Work is counted in entries read or prices looked at.
constexpr double kDefaultSeconds = 5;
constexpr double kWorkToLook = 2;        // an entry, at the features and the bound
constexpr double kClustered = 0.1;       // likeness of neighbours
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
constexpr double kWorthSearching = 0.995;  // less gain than this ends the search

/// Whether at least three quarters of the steps from place to place go down.
bool descends(const Permutation& side) {
  std::int64_t down = 0;
  for (std::int32_t place = 1; place < side.size(); ++place) down += side[place] < side[place - 1];
  return 4 * down > 3 * (std::int64_t{side.size()} - 1);
}

Permutation turned(const Permutation& side) {
  return Permutation({side.new_to_old().rbegin(), side.new_to_old().rend()});
}

/// Rows that rise in each `size` places, for what the order within these costs.
Permutation rising(const Permutation& side, std::int32_t size) {
  std::vector<std::int32_t> order(side.new_to_old().begin(), side.new_to_old().end());
  for (std::size_t begin = 0; begin < order.size(); begin += static_cast<std::size_t>(size)) {
    const auto first = order.begin() + static_cast<std::ptrdiff_t>(begin);
    std::sort(first, first + std::min<std::ptrdiff_t>(size, order.end() - first));
  }
  return Permutation(std::move(order));
}

/// The same tiles, and more boxes to load.
Ordering rising(const Ordering& found, Tile tile) {
  if (found.symmetric) return Ordering::same(rising(found.rows, std::gcd(tile.rows, tile.cols)));
  return {rising(found.rows, tile.rows), rising(found.cols, tile.cols), false};
}

/// What decides which candidates can win and what they take.
struct Features {
  double n = 0;  ///< rows and columns
  double nnz = 0;
  bool square = false;
  bool symmetric = false;
  bool clustered = false;  ///< unlike an expander, on which elimination and bisection take long
  std::int64_t hubs = 0;
  bool like_rows = false;  ///< by a sample: rows have many others like them
  double shared = 0;   ///< entries that `grow` reads for rows, roughly: rows of a column, by tile
  double touched = 0;  ///< ... and for columns, if all tiles are as good as random

  Features(const CsrView& mask, const MaskFeatures& seen, Tile tile)
      : n(static_cast<double>(mask.n_rows) + mask.n_cols),
        nnz(static_cast<double>(mask.nnz())),
        square(seen.square()),
        symmetric(seen.symmetric),
        clustered(seen.likeness > kClustered),
        hubs(seen.rows.hubs + seen.cols.hubs) {
    const std::int64_t common = 8 * seen.cols.median;
    const std::vector<std::int32_t> degrees = col_degrees(mask);
    for (const std::int64_t degree : degrees) {
      if (degree <= common) {
        shared += static_cast<double>(degree) * std::ceil(static_cast<double>(degree) / tile.rows);
      }
    }
    const double row_tiles = std::ceil(static_cast<double>(mask.n_rows) / tile.rows);
    const double col_tiles = std::ceil(static_cast<double>(mask.n_cols) / tile.cols);
    const double cols_of_tile =
        std::min(static_cast<double>(mask.n_cols), nnz / std::max(row_tiles, 1.0));
    touched = row_tiles * cols_of_tile * std::min(col_tiles, cols_of_tile);
    like_rows = alike_in_a_sample(mask, degrees, common);
  }

 private:
  /// Whether many rows have half of their keys in common with two dozen others: 16 rows are
  /// compared with each eighth row. Keys more common than `common` do not count.
  static bool alike_in_a_sample(const CsrView& mask, const std::vector<std::int32_t>& col_degrees,
                                std::int64_t common) {
    constexpr std::int32_t kSeeds = 16;
    constexpr std::int32_t kStride = 8;
    constexpr std::int32_t kAlike = 3;  // of two dozen, an eighth is looked at
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
};

struct Candidate {
  std::string pipeline;
  double work = 0;  ///< what it is expected to take
};

/// Pipelines that can win on such a mask, the most promising first. Work as measured on masks of
/// 0.05 to 24 million entries, 16,384 to 400,000 rows: within a factor of two or on the safe side.
std::vector<Candidate> candidates_for(const Features& f, const Objective& objective) {
  std::vector<Candidate> list;
  const std::string peel = f.hubs > 0 ? "peel|" : "";
  // What fills groups of rows begins at the edge of a tile.
  const std::string peel_last = f.hubs > 0 ? "peel(8,1)|" : "";
  const double peeling = f.hubs > 0 ? 2.5 * f.nnz : 0;
  const double parts = (f.clustered ? 30 : f.square ? 100 : 200) * f.nnz + 1500 * f.n;
  const double elimination =
      (f.clustered ? 25 : 40 * std::max(f.n / 32768, 1.0)) * f.nnz + 200 * f.n;
  if (f.square && !f.symmetric) list.push_back({"staircase", 8 * f.nnz + 400 * f.n});
  if (f.symmetric) list.push_back({peel + "rcm", 3 * f.nnz + 40 * f.n});
  list.push_back({peel + "signature|bipartite_rcm", 4.5 * f.nnz + 250 * f.n + peeling});
  list.push_back({"grow", 3 * f.nnz + 2 * f.shared + 200 * f.n + 0.7 * f.touched});
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
  list.push_back({peel + "metis_rb", parts});
  if (f.square) {
    list.push_back({"amd", elimination});
    list.push_back({"metis_nd", parts});
  }
  if (f.hubs > 0) list.push_back({"signature|bipartite_rcm", 4.5 * f.nnz + 250 * f.n});
  return list;
}

class Auto {
 public:
  Auto(const CsrView& mask, const Context& context, const Budget& budget)
      : mask_(mask),
        context_(context),
        registry_(Registry::with_builtins()),
        left_(static_cast<double>(budget.work)),
        guard_(budget.guard_seconds) {
    context_.on_candidate = nullptr;
    context_.on_choice = nullptr;
    choice_.work_limit = budget.work;
  }

  Ordering run() {
    const double look = kWorkToLook * static_cast<double>(mask_.nnz());
    add("natural", Ordering::identity(mask_.n_rows, mask_.n_cols), 0, look);
    left_ -= look;
    choice_.features = look_at(mask_);
    const Features features(mask_, choice_.features, context_.objective.tile);
    for (const Candidate& candidate : candidates_for(features, context_.objective)) {
      if (near_the_bound()) break;
      try_candidate(candidate);
    }
    refine_best();
    Ordering chosen = choose();
    choice_.work = choice_.work_limit - static_cast<std::int64_t>(std::floor(left_));
    return chosen;
  }

  [[nodiscard]] const std::vector<CandidateReport>& candidates() const { return reports_; }
  [[nodiscard]] const ChoiceReport& choice() const { return choice_; }

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
  [[nodiscard]] bool out_of_time() {
    if (guard_ == 0 || seconds_since(start_) <= guard_) return false;
    choice_.budget_cut = true;
    return true;
  }

  void add(std::string pipeline, Ordering ordering, double seconds, double work) {
    const Objective& asked = context_.objective;
    if (asked.box > 1) ordering = rising(ordering, asked.has_parts() ? asked.part : asked.tile);
    const double objective = evaluate(context_.objective, mask_, ordering);
    found_.push_back({reports_.size(), std::move(ordering), objective});
    reports_.push_back({.pipeline = std::move(pipeline),
                        .seconds = seconds,
                        .objective = objective,
                        .work = static_cast<std::int64_t>(work)});
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
      add(candidate.pipeline, std::move(ordering), seconds_since(start), work);
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

  /// What no ordering can go below, where that is known.
  [[nodiscard]] double bound() {
    const Objective& objective = context_.objective;
    const bool model = objective.kind == Objective::Kind::cost_model;
    if (!model && objective.kind != Objective::Kind::tiles) return 0;
    if (!bound_) {
      const auto least = [&](Tile tile) {
        return static_cast<double>(tile_lower_bound(mask_, tile));
      };
      const double rows = std::ceil(static_cast<double>(mask_.n_rows) / objective.tile.rows);
      const double computed = std::min(objective.t_full, objective.t_partial);
      bound_ = !model ? least(objective.tile)
               : objective.has_parts()
                   ? computed * least(objective.part) + objective.t_tile * least(objective.tile) +
                         objective.t_row * rows
                   : computed * least(objective.tile) + objective.t_row * rows;
    }
    return *bound_;
  }
  [[nodiscard]] bool near_the_bound() {
    const double enough = kNearTheBound * bound();
    return std::any_of(found_.begin(), found_.end(),
                       [&](const Found& found) { return found.objective <= enough; });
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
    if (work_of_round == 0) return;
    // A search begins smoothed, so that it finds more from where another has come to.
    for (std::size_t from = best_start; !near_the_bound(); from = found_.size() - 1) {
      const int rounds = static_cast<int>(std::min<double>(kMostRounds, left_ / work_of_round));
      if (rounds <= kTrialRounds) return;
      const std::optional<Refined> refined = search_from(from, rounds, left_);
      if (!refined || refined->after > kWorthSearching * refined->before) return;
    }
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
                .threads = context_.threads,
                .stop = [this] { return out_of_time(); }});
    left_ -= kSearchCost * static_cast<double>(refined.work);
    if (!refined.searched) {
      skip(text_of(rounds), "not tried: the work that is left is less than that of a round");
      return std::nullopt;
    }
    add(text_of(refined.rounds), found_[i].ordering.then(refined.ordering), seconds_since(start),
        kSearchCost * static_cast<double>(refined.work));
    return refined;
  }

  Ordering choose() {
    const auto better = [](const Found& a, const Found& b) { return a.objective < b.objective; };
    const auto best = static_cast<std::size_t>(
        std::min_element(found_.begin(), found_.end(), better) - found_.begin());
    std::size_t chosen = best;
    for (std::size_t i = 0; i < found_.size(); ++i) {
      if (!found_[i].ordering.symmetric ||
          found_[i].objective > kSymmetricMayCost * found_[best].objective) {
        continue;
      }
      if (!found_[chosen].ordering.symmetric || found_[i].objective < found_[chosen].objective) {
        chosen = i;
      }
    }
    if (found_[chosen].objective > kWorthReordering * found_[0].objective) chosen = 0;
    choice_.reason = reason(chosen, best);
    reports_[found_[chosen].report].chosen = true;
    return ascending(found_[chosen]);
  }

  /// Each side that descends is turned round where that costs nothing: whole tiles stay whole when
  /// they are counted from the other end, and rows whose numbers rise are read faster.
  [[nodiscard]] Ordering ascending(const Found& found) const {
    Ordering rising = found.ordering;
    if (descends(rising.rows)) rising.rows = turned(rising.rows);
    if (descends(rising.cols)) rising.cols = turned(rising.cols);
    if (rising == found.ordering) return rising;
    const bool same = evaluate(context_.objective, mask_, rising) == found.objective;
    return same ? rising : found.ordering;
  }

  std::string reason(std::size_t chosen, std::size_t best) {
    const auto name_of = [&](std::size_t i) { return reports_[found_[i].report].pipeline; };
    if (chosen == 0) {
      if (found_.size() == 1 && !near_the_bound()) return "the budget allowed nothing else";
      if (found_[0].objective <= kNearTheBound * bound()) {
        return "do not reorder: the order at hand is within 1% of the lower bound";
      }
      return do_not_reorder();
    }
    std::string text = "the lowest objective";
    if (chosen != best) {
      text = "one order for both sides, within 1% of " + name_of(best) + ", which needs two";
    } else if (found_[chosen].objective <= kNearTheBound * bound()) {
      text += ", within 1% of the lower bound";
    }
    return text;
  }

  /// Why the natural order stays although it is above the bound.
  [[nodiscard]] std::string do_not_reorder() const {
    Objective still = context_.objective;
    still.t_gather = 0;
    if (context_.objective.t_gather > 0) {
      const double natural = found_[0].objective;
      for (const Found& found : found_) {
        const double without = evaluate(still, mask_, found.ordering);
        if (without >= kWorthReordering * natural) continue;
        return "do not reorder: " + reports_[found.report].pipeline + " would save " +
               text(natural - without) + " a call, but moving rows costs " +
               text(found.objective - without);
      }
    }
    return "do not reorder: nothing that was tried gains half a percent";
  }

  static std::string text(double work) {
    char buffer[32];
    std::snprintf(buffer, sizeof buffer, "%.3g", work);
    return buffer;
  }

  CsrView mask_;
  Context context_;
  Registry registry_;
  double left_;   ///< work
  double guard_;  ///< seconds; 0 is endless
  Clock::time_point start_ = Clock::now();
  std::optional<double> bound_;
  std::vector<Found> found_;
  std::vector<CandidateReport> reports_;
  ChoiceReport choice_;
};

/// Its own parameters, the caller's budget or the default, the first that there is.
Budget budget_of(const Params& params, const Context& context) {
  if (const std::int64_t work = params.integer("work"); work > 0) return {.work = work};
  if (const double seconds = params.number("seconds"); seconds > 0) {
    return Budget::of_seconds(seconds);
  }
  return context.budget.work > 0 ? context.budget : Budget::of_seconds(kDefaultSeconds);
}

}  // namespace

StrategyPtr make_auto() {
  return make_strategy(
      {.name = "auto",
       .summary = "tries the orderings that can win on such a mask within a budget, refines the "
                  "best and keeps the cheapest by the objective; never worse than natural",
       .citation = "own; after CHOLMOD's choice among orderings, Chen et al., TOMS 35 (2008)",
       .params = {{.name = "seconds",
                   .fallback = 0.0,
                   .min = 0,
                   .max = 1e6,
                   .summary = "budget on one core, turned into work by a fixed rate; 0: the "
                              "caller's budget, or 5"},
                  {.name = "work",
                   .fallback = std::int64_t{0},
                   .min = 0,
                   .summary = "budget in entries looked at, instead of seconds; the same answer on "
                              "any machine"}}},
      [](const CsrView& mask, const Params& params, const Context& context) {
        Auto choice(mask, context, budget_of(params, context));
        Ordering ordering = choice.run();
        if (context.on_candidate) {
          for (const CandidateReport& report : choice.candidates()) context.on_candidate(report);
        }
        if (context.on_choice) context.on_choice(choice.choice());
        return ordering;
      });
}

}  // namespace reorder
