// SPDX-License-Identifier: Apache-2.0
#include "experiments/sweep.hpp"

#include <gtest/gtest.h>

#include <set>
#include <sstream>

#include "experiments/exit_code.hpp"
#include "experiments/support.hpp"
#include "experiments/sweep_masks.hpp"
#include "reorder/error.hpp"

namespace experiments {
namespace {

const reorder::Registry& registry() {
  static const auto value = reorder::Registry::with_builtins();
  return value;
}

SweepConfig parse(const char* text) {
  Problem defaults;
  defaults.seed = 3;
  return parse_sweep_config(Json::parse(text), "c.json", defaults, registry());
}

std::string error_of(const char* text) {
  try {
    (void)parse(text);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(SweepConfig, TheCrossProductKeepsAMaskTogether) {
  const auto config = parse(R"json({
    "masks": ["causal(n={n})", {"mask": "window(n=64)", "label": "window"}],
    "n": [32, 48], "modifiers": ["", "shuffle(seed=1)"],
    "pipelines": ["natural", "rcm"], "head_dims": [8, 16], "heads": 2})json");
  ASSERT_EQ(config.combinations.size(), (2U * 2 + 1 * 2) * 2 * 2);
  std::vector<std::string> masks;
  std::set<std::string> keys;
  for (const auto& combination : config.combinations) {
    const Problem& problem = combination.problem;
    if (masks.empty() || masks.back() != problem.mask) masks.push_back(problem.mask);
    keys.insert(key_of(problem));
    EXPECT_EQ(problem.seed, 3U) << "the default";
    EXPECT_EQ(problem.kv_heads, 2) << "as many as heads";
  }
  EXPECT_EQ(masks, (std::vector<std::string>{"causal(n=32)", "causal(n=32)|shuffle(seed=1)",
                                             "causal(n=48)", "causal(n=48)|shuffle(seed=1)",
                                             "window(n=64)", "window(n=64)|shuffle(seed=1)"}));
  EXPECT_EQ(keys.size(), config.combinations.size());
  EXPECT_EQ(config.combinations.back().label, "window, shuffled");
}

TEST(SweepConfig, JoinedOnesKeepAMaskTogetherAndNothingTwice) {
  const SweepConfig parts[] = {
      parse(R"json({"masks": ["causal(n=32)", "window(n=32)"], "heads": 2})json"),
      parse(R"json({"masks": ["window(n=32)", "causal(n=32)"], "pipelines": ["natural", "rcm"],
                    "heads": 2, "repeats": 7})json")};
  std::vector<std::string> order;
  for (const auto& combination : joined(parts).combinations) {
    const Problem& p = combination.problem;
    order.push_back(p.mask + " " + p.pipeline);
    EXPECT_EQ(combination.options.repeats.minimum, p.pipeline == "rcm" ? 7 : 5)
        << "each keeps the repeats of its own file; of two alike the first stays";
  }
  EXPECT_EQ(order, (std::vector<std::string>{"causal(n=32) natural", "causal(n=32) rcm",
                                             "window(n=32) natural", "window(n=32) rcm"}));
}

TEST(SweepConfig, SaysWhatIsWrong) {
  EXPECT_EQ(error_of("[]"), "c.json: the configuration is not a JSON object");
  EXPECT_EQ(error_of("{}"), "c.json: the key 'masks' is missing");
  EXPECT_EQ(error_of(R"json({"masks": ["causal(n=8)"], "pipeline": "rcm"})json"),
            "c.json: unknown key 'pipeline'; did you mean 'pipelines'?");
  EXPECT_EQ(error_of(R"json({"masks": ["causal(n={n})"]})json"),
            "c.json: causal(n={n}) needs the key 'n'");
  EXPECT_EQ(error_of(R"json({"masks": ["causal(n=8)"], "heads": "two"})json"),
            "c.json: 'heads' holds \"two\", expected a whole number");
  EXPECT_NE(error_of(R"json({"masks": ["causal(n=8)"], "pipelines": ["rmc"]})json").find("'rcm'"),
            std::string::npos);
  EXPECT_NE(error_of(R"json({"masks": ["causal(n=8)"], "tiles": ["100x100"]})json")
                .find("multiples of 8"),
            std::string::npos);
  EXPECT_NE(
      error_of(R"json({"masks": ["causal(n=8)"], "heads": 4, "kv_heads": 3})json").find("divisor"),
      std::string::npos);
  EXPECT_NE(error_of(R"json({"masks": ["causal(n=8)"], "backends": ["gpu"]})json"), "accepted");
}

TEST(SweepConfig, ASizeThatNoMaskTakesIsRefused) {
  EXPECT_EQ(error_of(R"json({"masks": ["causal(n=8)", "window(n=8)"], "n": [16, 32]})json"),
            "c.json: 'n' is set, but no mask has {n}, which it stands for");
  EXPECT_EQ(error_of(R"json({"masks": ["causal(n=8)", "window(n={n})"], "n": 16})json"), "accepted")
      << "one mask that takes it is enough";
}

TEST(SweepConfig, KeysOfAMaskAreCheckedLikeItsOwn) {
  EXPECT_EQ(error_of(R"json({"masks": [{"mask": "causal(n=8)", "lable": "x"}]})json"),
            "c.json: unknown key 'lable' in the mask {\"mask\":\"causal(n=8)\",\"lable\":\"x\"}; "
            "did you mean 'label'?");
  EXPECT_EQ(
      error_of(R"json({"masks": {"maks": "causal(n=8)"}})json"),
      "c.json: unknown key 'maks' in the mask {\"maks\":\"causal(n=8)\"}; did you mean 'mask'?");
}

TEST(SweepConfig, WordsOutOfAFewAreToldTheNearest) {
  const auto error = [](const std::string& entry) {
    return error_of((R"json({"masks": "causal(n=8)", )json" + entry + "}").c_str());
  };
  EXPECT_EQ(error(R"("verify": "whoel")"), "c.json: verify is 'whoel'; did you mean 'whole'?");
  EXPECT_EQ(error(R"("verify": "half")"),
            "c.json: verify is 'half'; it must be auto, whole or none");
  EXPECT_EQ(error(R"("algorithms": "niave")"),
            "c.json: no algorithm is named 'niave'; did you mean 'naive'?");
  EXPECT_EQ(error(R"("algorithms": "flash")"),
            "c.json: no algorithm is named 'flash'; there are lists, dense, naive, bbm, dense_bbm");
}

TEST(SweepConfig, FilesAreReadWithCare) {
  const test::TempDir dir;
  const auto file = dir / "c.json";
  const auto error = [&](const char* text) -> std::string {
    test::spit(file, text);
    try {
      (void)read_sweep_config(file, {}, Problem{}, registry());
    } catch (const UsageError& e) {
      return e.what();
    }
    return "accepted";
  };
  EXPECT_EQ(error(R"json({"masks": "causal(n=8)", "heads": 1, "heads": 2})json"),
            file.string() + ": the key 'heads' is given twice");
  EXPECT_EQ(error(R"json({"masks": [{"mask": "causal(n=8)", "mask": "window(n=8)"}]})json"),
            file.string() + ": the key 'mask' is given twice");
  EXPECT_EQ(error(R"json({"masks": [{"mask": "causal(n=8)"}, {"mask": "window(n=8)"}]})json"),
            "accepted")
      << "each object has its own keys";
  EXPECT_EQ(error(R"json({"masks": "causal(n=8)", "min_time": 1e999})json"),
            file.string() + ":1:38: the number 1e999 is too large");
}

TEST(SweepConfig, ANumberOutsideItsLimitsIsNamedWithThem) {
  const auto error = [](const std::string& entry) {
    return error_of((R"json({"masks": ["causal(n={n})"], "n": 8, )json" + entry + "}").c_str());
  };
  EXPECT_EQ(error(R"("heads": 4294967298)"),
            "c.json: 'heads' is 4294967298, it must be from 1 to 2147483647");
  EXPECT_EQ(error(R"("seeds": -1)"),
            "c.json: 'seeds' is -1, it must be from 0 to 18446744073709551615");
  EXPECT_EQ(error(R"("min_time": -1)"), "c.json: 'min_time' is -1, it must be from 0 to 3600");
  EXPECT_EQ(error(R"("repeats": [4294967297])"),
            "c.json: 'repeats' holds [4294967297], expected a whole number");
  EXPECT_EQ(error(R"("repeats": 4294967297)"),
            "c.json: 'repeats' is 4294967297, it must be from 1 to 1000000");
  EXPECT_EQ(error(R"("seeds": [0, 18446744073709551615])"), "accepted");
}

TEST(SweepConfig, MasksAreCheckedBeforeAnythingIsMade) {
  EXPECT_EQ(error_of(R"json({"masks": "longfromer(n=8)"})json"),
            "c.json: no mask generator is named 'longfromer'; did you mean 'longformer'?");
  EXPECT_NE(error_of(R"json({"masks": "longformer(n=8,windw=2)"})json").find("'window'"),
            std::string::npos);
  EXPECT_NE(error_of(R"json({"masks": "causal(n=8)|shufle(seed=1)"})json").find("'shuffle'"),
            std::string::npos);
  EXPECT_NE(error_of(R"json({"masks": "causal(n=0)"})json"), "accepted");
  try {
    (void)parse(R"json({"masks": "no/such/file.mtx|shuffle(seed=1)"})json");
    ADD_FAILURE() << "accepted";
  } catch (const reorder::Error& error) {
    EXPECT_EQ(exit_code_of(error), ExitCode::failure);
    EXPECT_STREQ(error.what(), "no/such/file.mtx: cannot open: No such file or directory");
  }
}

TEST(SweepConfig, LabelsTakeTheirSize) {
  const auto config = parse(
      R"json({"masks": {"mask": "causal(n={n})", "label": "causal {n}"}, "n": [8, 16, 8]})json");
  ASSERT_EQ(config.combinations.size(), 2U) << "what is listed twice is measured once";
  EXPECT_EQ(config.combinations[0].label, "causal 8");
  EXPECT_EQ(config.combinations[1].label, "causal 16");
}

/// Runs a sweep into `path`, stopping after `most` measurements.
SweepSummary run(const SweepConfig& config, const std::filesystem::path& path,
                 const SweepOptions& options = {}, int most = 1000) {
  RecordFile file(path);
  std::ostringstream out;
  Progress progress(out, false, 0);
  int begun = 0;
  return run_sweep(
      config, file, registry(), options, [&] { return begun++ >= most; }, progress);
}

constexpr const char* kSmall = R"json({
  "masks": ["causal(n=70)", "window(n=70,window=3)|shuffle(seed=1)"],
  "pipelines": ["natural", "rcm"], "backends": "reference", "tiles": "16x16",
  "heads": 1, "head_dims": 8, "repeats": 1, "min_time": 0})json";

TEST(Sweep, ResumesWhereItWasStopped) {
  const test::TempDir dir;
  const auto path = dir / "r.jsonl";
  const auto config = parse(kSmall);
  auto summary = run(config, path, {}, 3);
  EXPECT_TRUE(summary.interrupted);
  EXPECT_EQ(summary.measured, 3);
  const std::string before = test::slurp(path);

  summary = run(config, path);
  EXPECT_FALSE(summary.interrupted);
  EXPECT_EQ(summary.skipped, 3);
  EXPECT_EQ(summary.measured, 1);
  EXPECT_TRUE(test::slurp(path).starts_with(before)) << "earlier lines are as they were";

  summary = run(config, path);
  EXPECT_EQ(summary.skipped, 4);
  EXPECT_EQ(summary.measured, 0);
  EXPECT_EQ(run(config, path, {.rerun = true}).measured, 4);
}

TEST(Sweep, ARecordThatWasNotVerifiedDoesNotCountForASweepThatVerifies) {
  const test::TempDir dir;
  const auto path = dir / "r.jsonl";
  auto config = parse(kSmall);
  const auto verify = [&](Scope scope) {
    for (auto& combination : config.combinations) combination.options.scope = scope;
  };
  verify(Scope::none);
  EXPECT_EQ(run(config, path).measured, 4);
  EXPECT_EQ(run(config, path).measured, 0);
  verify(Scope::automatic);
  EXPECT_EQ(run(config, path).measured, 4);
  verify(Scope::whole);
  EXPECT_EQ(run(config, path).measured, 0) << "a small result was compared as a whole";
  verify(Scope::none);
  EXPECT_EQ(run(config, path).measured, 0) << "what is verified may be used without asking for it";
}

TEST(Sweep, AChangedInputFileIsMeasuredAgain) {
  const test::TempDir dir;
  const auto path = dir / "r.jsonl";
  const std::string begin = "%%MatrixMarket matrix coordinate pattern general\n";
  test::spit(dir / "m.mtx", begin + "3 3 1\n2 1\n");
  test::spit(dir / "order.txt", "2\n1\n0\n");
  const std::string text = R"json({"backends": "reference", "tiles": "8x8", "heads": 1,
      "head_dims": 8, "repeats": 1, "min_time": 0, "masks": ["causal(n=3)", ")json" +
                           (dir / "m.mtx").string() +
                           R"json("], "pipelines": ["natural", "best_of(file()json" +
                           (dir / "order.txt").string() + R"json())"]})json";
  const auto measured = [&] {
    const auto summary = run(parse(text.c_str()), path);
    EXPECT_EQ(summary.failed, 0);
    return summary.measured;
  };
  EXPECT_EQ(measured(), 4);
  EXPECT_EQ(measured(), 0);
  test::spit(dir / "m.mtx", begin + "3 3 1\n2 2\n");
  EXPECT_EQ(measured(), 2) << "both orders of the changed mask";
  test::spit(dir / "order.txt", "1\n2\n0\n");
  EXPECT_EQ(measured(), 2) << "both masks in the changed order";
  EXPECT_EQ(measured(), 0);
}

TEST(Sweep, RecordsAreWholeAndRight) {
  const test::TempDir dir;
  const auto path = dir / "r.jsonl";
  EXPECT_EQ(run(parse(kSmall), path).failed, 0);
  const auto records = read_records(path);
  ASSERT_EQ(records.size(), 4U);
  for (const Record& r : records) {
    SCOPED_TRACE(r.key);
    EXPECT_EQ(r.status, "ok") << r.error;
    EXPECT_EQ(r.verification.scope, "whole");
    EXPECT_EQ(r.verification.rows, 70);
    EXPECT_LE(r.verification.max_error, r.verification.tolerance);
    EXPECT_EQ(r.before.full + r.before.partial, r.before.nonempty);
    EXPECT_GE(r.after.nonempty, r.lower_bound);
    EXPECT_EQ(r.ordering.reordered, r.ms->fused.has_value());
    EXPECT_EQ(r.ordering.reordered, r.ms->gather.has_value());
    EXPECT_GT(r.ms->natural.median, 0);
    EXPECT_FALSE(r.environment.commit.empty());
  }
  EXPECT_LT(records[3].after.nonempty, records[3].before.nonempty) << "rcm finds the band again";
}

TEST(Sweep, PassesAreAnAxis) {
  const test::TempDir dir;
  const auto path = dir / "r.jsonl";
  const auto config = parse(R"json({
    "masks": "window(n=70,window=3)|shuffle(seed=1)", "pipelines": ["natural", "rcm"],
    "pass": ["fwd", "bwd", "both"], "tiles": "16x16", "heads": 2, "kv_heads": 1, "head_dims": 8,
    "repeats": 1, "min_time": 0})json");
  EXPECT_EQ(run(config, path).failed, 0);
  const auto records = read_records(path);
  ASSERT_EQ(records.size(), 6U);
  double forward_flops = 0;
  for (const Record& r : records) {
    SCOPED_TRACE(r.key);
    EXPECT_EQ(r.status, "ok") << r.error;
    const bool both = r.problem.pass == "both";
    EXPECT_EQ(r.ms->natural_passes.has_value(), both);
    EXPECT_EQ(r.ms->fused_passes.has_value(), both && r.ordering.reordered);
    EXPECT_EQ(r.gradients.has_value(), r.problem.pass != "fwd");
    if (r.gradients) {
      EXPECT_EQ(r.gradients->scope, "whole");
      EXPECT_EQ(r.gradients->queries, 140);
      EXPECT_EQ(r.gradients->keys, 70);
      EXPECT_LE(r.gradients->dk_error, r.gradients->dk_tolerance);
      EXPECT_GT(r.gradients->dk_error, 0) << "fp32 is not exact: nothing was compared";
    }
    if (r.ordering.reordered) {
      if (r.problem.pass == "fwd") forward_flops = r.flops;
      EXPECT_DOUBLE_EQ(r.flops, forward_flops * (both ? 3.5 : r.problem.pass == "bwd" ? 2.5 : 1));
    }
  }
}

TEST(Sweep, ScalesAreAnAxisAndReachEveryPath) {
  const test::TempDir dir;
  const auto path = dir / "r.jsonl";
  const auto config = parse(R"json({
    "masks": "window(n=70,window=3)|shuffle(seed=1)", "pipelines": "rcm", "pass": ["fwd", "both"],
    "scales": [0.5, -1], "tiles": "16x16", "heads": 1, "head_dims": 16, "repeats": 1,
    "min_time": 0})json");
  const auto summary = run(config, path);
  EXPECT_EQ(summary.measured, 4);
  EXPECT_EQ(summary.failed + summary.mismatches, 0);
  for (const Record& r : read_records(path)) {
    EXPECT_EQ(r.status, "ok") << r.error;
    EXPECT_TRUE(r.ordering.reordered);
    EXPECT_NE(r.key.find(*r.problem.scale == 0.5 ? " scale=0.5 " : " scale=-1.0 "),
              std::string::npos)
        << r.key;
  }
  EXPECT_NE(error_of(R"json({"masks": "causal(n=8)", "scales": 1e39})json").find("'scales'"),
            std::string::npos);
}

TEST(Sweep, LargerMasksThanMaxNAreLeftOutWithoutARecord) {
  const test::TempDir dir;
  const auto path = dir / "r.jsonl";
  const auto config = parse(R"json({
    "masks": ["causal(n=40)", "medusa(s=3,k=4)"], "max_n": 64, "backends": "reference",
    "tiles": "16x16", "heads": 1, "head_dims": 8, "repeats": 1, "min_time": 0})json");
  const auto summary = run(config, path);
  EXPECT_EQ(summary.total, 2);
  EXPECT_EQ(summary.measured, 1);
  EXPECT_EQ(summary.too_large, 1) << "the tree has 120 nodes, of which its text says nothing";
  EXPECT_EQ(read_records(path).size(), 1U);
}

TEST(Sweep, MasksMadeAheadAreThoseThatWereAskedFor) {
  auto config = parse(R"json({
    "masks": ["causal(n=40)", "window(n=40)|shuffle(seed=1)", "causal(n=41)", "docs(n=50)"],
    "pipelines": ["natural", "rcm"], "backends": "cpu", "heads": 1, "head_dims": 8})json");
  std::vector<const Combination*> pending;
  for (auto& combination : config.combinations) {
    auto& mask = combination.problem.mask;
    if (mask == "causal(n=41)") mask = "no/such/file.mtx";  // gone since the sweep was read
    pending.push_back(&combination);
  }
  EXPECT_EQ(masks_ahead(pending), 0U) << "the cpu backend needs the CPUs itself";
  for (const std::size_t ahead : {0U, 1U, 2U, 9U}) {
    SweepMasks masks(pending, registry(), ahead);
    for (const Combination* combination : pending) {
      SCOPED_TRACE(combination->problem.mask + " " + std::to_string(ahead));
      const Problem& p = combination->problem;
      if (p.mask.starts_with("no/")) {
        EXPECT_THROW((void)masks.get(p.mask), reorder::Error) << "for each of its combinations";
        continue;
      }
      Workload& workload = masks.get(p.mask);
      EXPECT_EQ(workload.mask().name, masks::make(p.mask).name);
      const auto& ordered = workload.ordered(p, registry(), {});
      EXPECT_EQ(ordered.facts.pipeline, p.pipeline);
      EXPECT_EQ(&masks.get(p.mask), &workload);
    }
  }
}

TEST(Sweep, AFailedCombinationIsARecord) {
  const test::TempDir dir;
  const auto path = dir / "r.jsonl";
  const auto config = parse(R"json({
    "masks": "causal(n=40)", "pipelines": ["file(no/such/order.npy)", "natural"], "seeds": [0, 1],
    "backends": "reference", "tiles": "16x16", "heads": 1, "head_dims": 8,
    "repeats": 1, "min_time": 0})json");
  auto summary = run(config, path);
  EXPECT_EQ(summary.measured, 4);
  EXPECT_EQ(summary.failed, 2);
  const auto records = read_records(path);
  ASSERT_EQ(records.size(), 4U);
  EXPECT_EQ(records[0].status, "failed");
  EXPECT_NE(records[0].error.find("no/such/order.npy"), std::string::npos) << records[0].error;
  EXPECT_EQ(records[1].status, "ok");

  EXPECT_EQ(run(config, path).measured, 0) << "a failure is not tried again by itself";
  summary = run(config, path, {.retry_failed = true});
  EXPECT_EQ(summary.measured, 2);
  EXPECT_EQ(summary.failed, 2);
}

}  // namespace
}  // namespace experiments
