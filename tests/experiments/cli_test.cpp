// SPDX-License-Identifier: Apache-2.0
// The program as a script sees it: exit codes, messages, files, JSON.
#include <gtest/gtest.h>

#include <cstdlib>

#include "attn/backend.hpp"
#include "experiments/calibration.hpp"
#include "experiments/program.hpp"
#include "experiments/record_file.hpp"
#include "reorder/npy.hpp"
#include "reorder/permutation.hpp"

namespace experiments {
namespace {

using test::Finished;
using test::run_blockfill;
using test::TempDir;

const std::vector<std::string> kCommands = {"list",  "reorder", "fill",      "run",    "sweep",
                                            "table", "doctor",  "calibrate", "predict"};

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// A sentence on stderr alone, begun with the program's name.
void expect_error(const Finished& finished, const std::string& part) {
  EXPECT_TRUE(finished.err.starts_with("blockfill: ")) << finished.err;
  EXPECT_EQ(std::count(finished.err.begin(), finished.err.end(), '\n'), 1) << finished.err;
  EXPECT_TRUE(has(finished.err, part)) << finished.err << "lacks: " << part;
  EXPECT_EQ(finished.out, "");
}

TEST(Cli, HelpOfEveryCommand) {
  EXPECT_TRUE(has(run_blockfill(0, {"--help"}).out, "Exit codes:"));
  EXPECT_TRUE(run_blockfill(0, {"--version"}).out.starts_with("blockfill "));
  for (const auto& command : kCommands) {
    const auto help = run_blockfill(0, {command, "--help"});
    for (const char* option : {"--json", "--seed", "--threads", "--plugin"}) {
      EXPECT_TRUE(has(help.out, option)) << command << " --help lacks " << option;
    }
    EXPECT_EQ(help.err, "");
  }
}

TEST(Cli, ACalibrationIsMeasuredAndUsed) {
  const TempDir dir;
  const auto file = (dir / "machine.json").string();
  const auto calibrated =
      run_blockfill(0, {"calibrate", "-o", file, "-n", "128", "--heads", "1", "--head-dim", "16",
                        "-t", "16x16", "--repeats", "1", "--min-time", "0", "--no-orderings"});
  EXPECT_TRUE(has(calibrated.out, "t_partial")) << calibrated.out;
  const auto reordered =
      run_blockfill(0, {"reorder", "window(n=128)|shuffle(seed=1)", "-p", "auto", "--budget",
                        "work:10000000", "--cost-model", file, "--head-dim", "16", "-t", "16x16"});
  EXPECT_TRUE(has(reordered.out, "cost_model{16,16,t_full=")) << reordered.out;
  expect_error(run_blockfill(2, {"reorder", "causal(n=64)", "-p", "auto", "--cost-model", file}),
               "has no costs of cpu f32 D=64 tile 128x128; it has cpu f32 D=16 tile 16x16");
  const auto bad = (dir / "bad.json").string();
  test::spit(bad, "{}");
  expect_error(run_blockfill(1, {"run", "causal(n=64)", "--cost-model", bad}),
               "bad.json: not a calibration");
  expect_error(run_blockfill(1, {"calibrate", "-o", bad}), "bad.json: not a calibration");
}

TEST(Cli, APredictionIsTheCostModelWrittenOut) {
  const TempDir dir;
  const auto file = (dir / "machine.json").string();
  Calibration calibration;
  BackendCost cost;
  cost.backend = "cpu";
  cost.dtype = "f32";
  cost.head_dim = 64;
  cost.tile = "128x128";
  cost.threads = 1;
  cost.t_full = 1;
  cost.t_partial = 2;
  cost.t_gather = 0.25;
  add(calibration, cost);
  write_calibration(file, calibration);
  const auto predicted = [&](const std::string& mask, const std::string& pipeline) {
    return Json::parse(run_blockfill(0, {"predict", mask, "-p", pipeline, "--cost-model", file,
                                         "--batch", "2", "--heads", "3", "--json"})
                           .out);
  };
  // One full tile and two on the diagonal, for each of six heads.
  const Json natural = predicted("causal(n=256)", "natural");
  EXPECT_EQ(natural["ms"]["natural"], 6 * (1 + 2 * 2));
  EXPECT_EQ(natural["ms"]["fused"], natural["ms"]["natural"]) << "nothing is moved";
  // Even and odd tokens apart: four partial tiles become two full ones, and rows are moved.
  test::spit(dir / "even_odd.txt", [] {
    std::string order;
    for (int parity : {0, 1}) {
      for (int i = parity; i < 256; i += 2) order += std::to_string(i) + "\n";
    }
    return order;
  }());
  const std::string comb = (dir / "comb.mtx").string();
  std::string entries;
  int count = 0;
  for (int i = 1; i <= 256; ++i) {
    for (int j = i % 2 == 0 ? 2 : 1; j <= 256; j += 2, ++count) {
      entries += std::to_string(i) + " " + std::to_string(j) + "\n";
    }
  }
  test::spit(comb, "%%MatrixMarket matrix coordinate pattern general\n256 256 " +
                       std::to_string(count) + "\n" + entries);
  const Json ordered = predicted(comb, "file(" + (dir / "even_odd.txt").string() + ")");
  EXPECT_EQ(ordered["ms"]["natural"], 6 * 4 * 2);
  EXPECT_EQ(ordered["ms"]["permuted"], 6 * 2 * 1);
  EXPECT_GT(ordered["ms"]["fused"], ordered["ms"]["natural"]) << "moving rows is dear here";
  EXPECT_TRUE(ordered["break_even_calls"].is_null());

  expect_error(run_blockfill(2, {"predict", "causal(n=8)"}), "--cost-model");
  expect_error(run_blockfill(2, {"predict", "causal(n=8)", "--cost-model", file, "--pass", "bwd"}),
               "the forward pass by lists alone");
}

TEST(Cli, ABudgetThatWasPrintedGivesTheSameOrderAgain) {
  const TempDir dir;
  const auto order = [&](const std::string& budget, const std::string& threads) {
    const auto out = (dir / (threads + ".npy")).string();
    const auto finished =
        run_blockfill(0, {"reorder", "er(n=1024,degree=3)", "-p", "auto", "--budget", budget,
                          "--threads", threads, "-t", "32x32", "--json", "-o", out});
    return Json::parse(finished.out);
  };
  const Json first = order("work:5000000", "1");
  const Json choice = first["ordering"]["choice"];
  EXPECT_EQ(choice["work_limit"], 5000000);
  EXPECT_EQ(choice["budget_cut"], false);
  EXPECT_FALSE(choice["reason"].get<std::string>().empty());
  EXPECT_TRUE(choice["features"]["symmetric"].get<bool>());
  const Json second = order("work:5000000", "2");
  EXPECT_EQ(second["after"], first["after"]);
  expect_error(run_blockfill(2, {"reorder", "causal(n=64)", "-p", "auto", "--budget", "5"}),
               "'5' is no budget; write seconds as 5s or 0.3s, or work as work:");
  expect_error(run_blockfill(2, {"run", "causal(n=64)", "-p", "auto", "--budget", "0s"}),
               "must be above 0s");
}

TEST(Cli, TheFormThatAnObjectiveCountsIsRunAndVerified) {
  const TempDir dir;
  const auto results = (dir / "results.jsonl").string();
  for (const char* objective : {"gather{16,16}", "tiles_min{16,16,theta=40,lambda=0.01}"}) {
    for (const char* pipeline : {"natural", "metis_rb"}) {
      run_blockfill(0, {"run", "sbm(n=256,blocks=8)|shuffle(seed=1)", "-p", pipeline, "-t", "16x16",
                        "--objective", objective, "--head-dim", "16", "--heads", "2", "--repeats",
                        "1", "--min-time", "0", "-o", results});
    }
  }
  const auto records = read_records(results);
  ASSERT_EQ(records.size(), 4U);
  for (const Record& record : records) {
    EXPECT_EQ(record.status, "ok") << record.error;
    ASSERT_TRUE(record.form);
    EXPECT_TRUE(record.ms->fused);
    EXPECT_LT(record.form->tiles, record.before.nonempty);
  }
  EXPECT_EQ(records[0].form->name, "gathered");
  EXPECT_EQ(records[2].form->name, "split");
  EXPECT_GT(records[2].form->residual, 0);
  expect_error(run_blockfill(2, {"run", "causal(n=64)", "--backend", "reference", "--objective",
                                 "gather{128,128}"}),
               "backend reference does not run gathered masks");
}

TEST(Cli, UsageErrors) {
  expect_error(run_blockfill(2, {}), "a command is required");
  expect_error(run_blockfill(2, {"reodrer"}), "did you mean 'reorder'?");
  expect_error(run_blockfill(2, {"fill"}), "mask");
  expect_error(run_blockfill(2, {"fill", "causal(n=8)", "--tlies", "8x8"}),
               "did you mean '--tiles'?");
  expect_error(run_blockfill(2, {"fill", "causl(n=8)"}), "causal");
  expect_error(run_blockfill(2, {"fill", "causal(m=8)"}), "m");
  expect_error(run_blockfill(2, {"fill", "causal(n=8"}), "");
  expect_error(run_blockfill(2, {"fill", "causal(n=8)", "--tiles", "8"}), "8");
  expect_error(run_blockfill(2, {"fill", "causal(n=8)", "--pipeline", "naturl"}), "natural");
  expect_error(run_blockfill(2, {"fill", "causal(n=8)", "--threads", "-1"}), "--threads");
  expect_error(run_blockfill(2, {"run", "causal(n=8)", "--head-dim", "0"}), "head-dim is 0");
  expect_error(run_blockfill(2, {"run", "causal(n=8)", "--pass", "bdw"}), "did you mean 'bwd'?");
  expect_error(run_blockfill(2, {"run", "causal(n=8)", "--gradients", "unorderd"}),
               "did you mean 'unordered'?");
  expect_error(run_blockfill(2, {"run", "causal(n=8)", "--mask-build", "gpu"}),
               "--mask-build: no 'gpu'; there are host, device\n");
  expect_error(run_blockfill(2, {"run", "causal(n=8)", "--mask-build", "devize"}),
               "--mask-build: no 'devize'; did you mean 'device'?\n");
  expect_error(run_blockfill(2, {"run", "causal(n=8)", "--mask-build", "device"}),
               "backend cpu computes on the host");
  expect_error(run_blockfill(2, {"run", "causal(n=8)", "--tile", "100x100"}), "multiples of 8");
  expect_error(run_blockfill(2, {"run", "causal(n=8)", "--algorithm", "list"}),
               "no algorithm is named 'list'; did you mean 'lists'?\n");
  expect_error(run_blockfill(2, {"run", "causal(n=8)", "--verify", "none?"}),
               "verify is 'none?'; did you mean 'none'?\n");
  expect_error(run_blockfill(2, {"table", "papre", "no/such/results.jsonl"}),
               "table: no file 'papre'; did you mean 'paper'?\n");
  expect_error(run_blockfill(2, {"run", "causal(n=8)", "--dtype", "f61"}), "did you mean 'f16'?");
  expect_error(run_blockfill(2, {"run", "causal(n=8)", "--backend", "cpus"}), "cpu");
  expect_error(run_blockfill(2, {"run", "causal(n=8)", "--heads", "4", "--kv-heads", "3"}),
               "divisor");
  for (const char* option : {"--tolerance", "--min-time"}) {
    for (const char* value : {"nan", "-1", "inf", "1e9"}) {
      expect_error(run_blockfill(2, {"run", "causal(n=8)", option, value}),
                   std::string("'") + value + "' is not a number from 0 to");
    }
  }
  expect_error(run_blockfill(2, {"run", "causal(n=8)", "--backend", "hoper"}),
               "no backend is named 'hoper'; did you mean 'hopper'?\n");
  expect_error(run_blockfill(2, {"run", "causal(n=8)", "--dtype", "double"}),
               "no dtype 'double'; there are f32, f16 and bf16\n");
  expect_error(run_blockfill(2, {"nosuchcommand"}),
               "no command 'nosuchcommand'; `blockfill --help` lists them\n");
  expect_error(run_blockfill(2, {"--jsn"}), "blockfill: unexpected argument '--jsn'");
  for (const char* seed : {"-1", "18446744073709551616", "1.5", "0x10"}) {
    expect_error(run_blockfill(2, {"fill", "causal(n=8)", "--seed", seed}),
                 "fill: --seed: '" + std::string(seed) +
                     "' is not a whole number from 0 to 18446744073709551615\n");
  }
  expect_error(run_blockfill(2, {"run", "causal(n=8)", "--repeats", "1.5"}),
               "--repeats: '1.5' is not a whole number from 1 to 1000000\n");
  for (const char* scale : {"nan", "inf", "1e+39"}) {
    expect_error(run_blockfill(2, {"run", "causal(n=8)", "--scale", scale}),
                 "scale is " + std::string(scale) + ", it must be finite");
  }
  expect_error(run_blockfill(2, {"run", "causal(n=8)", "-o", ""}), "the file's name is empty");
  expect_error(run_blockfill(2, {"reorder", "causal(n=8)", "-p", "rcm", "-o", ""}),
               "the file's name is empty");
  expect_error(run_blockfill(2, {"list", "rmc"}), "did you mean 'rcm'?");
}

TEST(Cli, Failures) {
  const TempDir dir;
  expect_error(run_blockfill(1, {"fill", "no/such/mask.mtx"}), "no/such/mask.mtx");
  test::spit(dir / "bad.mtx", "%%MatrixMarket matrix coordinate pattern general\n2 2 1\n3 1\n");
  expect_error(run_blockfill(1, {"fill", (dir / "bad.mtx").string()}), "bad.mtx:3");
  test::spit(dir / "order.txt", "0\n0\n1\n");
  expect_error(run_blockfill(1, {"reorder", "causal(n=3)", "-p",
                                 "file(" + (dir / "order.txt").string() + ")"}),
               "order.txt");
  expect_error(run_blockfill(1, {"list", "--plugin", "/no/such/plugin.so"}), "/no/such/plugin.so");
  expect_error(
      run_blockfill(1, {"fill", "--plugin", "/no/a.so", "causal(n=8)", "--plugin", "/no/b.so"}),
      "/no/a.so");
  expect_error(run_blockfill(1, {"table", (dir / "none.jsonl").string()}), "none.jsonl");
  test::spit(dir / "short.jsonl", "{\"schema_version\":1}\n");
  expect_error(run_blockfill(1, {"table", (dir / "short.jsonl").string()}),
               "short.jsonl:1: not a record: no field status\n");
  // Past what an address can tell apart, so that no machine tries; 8 rows of 4 heads.
  expect_error(
      run_blockfill(1, {"run", "causal(n=8)", "--batch", "2147483647", "--head-dim", "1000000"}),
      "not enough memory for Q, 2,147,483,647x4x8x1,000,000 of f32: ");
}

TEST(Cli, AnOutputThatCannotBeWrittenIsToldBeforeTheWork) {
  const TempDir dir;
  const auto missing = (dir / "none" / "out.npy").string();
  const auto order = (dir / "order.npy").string();
  // The mask cannot be read either: whichever is told was looked at first.
  const std::vector<std::string> reorder = {"reorder", "no/such/mask.mtx", "-p", "rcm"};
  const auto fails_with = [&](int code, std::vector<std::string> more, const std::string& part) {
    more.insert(more.begin(), reorder.begin(), reorder.end());
    expect_error(run_blockfill(code, more), part);
  };
  fails_with(1, {"-o", missing}, missing + ": cannot create: No such file or directory");
  fails_with(1, {"--mask-output", missing}, missing + ": cannot create");
  fails_with(1, {"-o", dir.path().string()}, "cannot create: Is a directory");
  fails_with(1, {"--mask-output", order + ".csv"}, "the file's name must end with .mtx");
  fails_with(2, {"-o", order, "--mask-output", order}, "both name " + order);
  fails_with(1, {"-o", "/dev/null", "--mask-output", order}, "no/such/mask.mtx: cannot open");
  const auto calibration = (dir / "none" / "machine.json").string();
  expect_error(run_blockfill(1, {"calibrate", "-o", calibration}), calibration + ": cannot create");
}

TEST(Cli, MessagesHoldNoControlCharacters) {
  expect_error(run_blockfill(2, {"fill", "docs(n=5\x1b[31m)"}), "not '5?[31m'\n");
  const TempDir dir;
  const auto archive = (dir / "order.npz").string();
  test::spit(archive, std::string("PK\x03\x04\x14\0\n", 7));
  expect_error(run_blockfill(1, {"reorder", "causal(n=8)", "-p", "file(" + archive + ")"}),
               "order.npz: neither a .npy file nor text with an index a line\n");
}

TEST(Cli, DoctorReportsABadPluginFolder) {
  const auto finished = run_blockfill(0, {"doctor", "--plugin", "/no/such/plugin.so"});
  EXPECT_TRUE(has(finished.out, "plugins were left out: ")) << finished.out;
  EXPECT_TRUE(has(finished.out, "/no/such/plugin.so")) << finished.out;
}

TEST(Cli, NoSuchDevice) {
  if (attn::backend("hopper").info().unavailable.empty()) GTEST_SKIP() << "a Hopper GPU is here";
  expect_error(run_blockfill(77, {"run", "causal(n=64)", "--backend", "hopper"}), "hopper");
}

TEST(Cli, ASweepLeavesNoRecordOfAMissingDevice) {
  if (attn::backend("hopper").info().unavailable.empty()) GTEST_SKIP() << "a Hopper GPU is here";
  const TempDir dir;
  const auto results = dir / "r.jsonl";
  test::spit(dir / "c.json", R"json({"masks": "causal(n=40)", "backends": ["hopper", "reference"],
      "heads": 1, "head_dims": 8, "repeats": 1, "min_time": 0})json");
  const auto finished =
      run_blockfill(77, {"sweep", (dir / "c.json").string(), "-o", results.string()});
  EXPECT_TRUE(has(finished.out, "1 without a device")) << finished.out;
  const auto records = read_records(results);
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0].problem.backend, "reference");
}

TEST(Cli, AResultOutsideTheToleranceIsAMismatch) {
  const std::vector<std::string> command = {"run", "causal(n=64)", "--heads", "1", "--repeats",
                                            "1",   "--min-time",   "0"};
  (void)run_blockfill(0, command);
  auto exact = command;
  exact.insert(exact.end(), {"--tolerance", "0"});
  const auto finished = run_blockfill(3, exact);
  EXPECT_TRUE(has(finished.out, "the oracle has")) << finished.out << finished.err;
}

TEST(Cli, AFullDiskIsAFailure) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full on this system";
  expect_error(run_blockfill(1, {"list"}, "/dev/full"), "cannot write to the standard output");
  const auto finished = run_blockfill(
      1, {"run", "causal(n=40)", "--backend", "reference", "-o", "/dev/full", "--json"});
  EXPECT_TRUE(has(finished.err, "No space left on device")) << finished.err;
  expect_error(run_blockfill(1, {"fill", "causal(n=40)", "--map", "/dev/full"}),
               "No space left on device");
}

TEST(Cli, JsonAndNothingElse) {
  const TempDir dir;
  const std::string results = (dir / "r.jsonl").string();
  test::spit(dir / "c.json", R"json({"masks": "causal(n=40)", "backends": "reference", "heads": 1,
                                 "head_dims": 8, "repeats": 1, "min_time": 0})json");
  const std::vector<std::vector<std::string>> commands = {
      {"list"},
      {"list", "rcm"},
      {"doctor"},
      {"fill", "causal(n=40)"},
      {"reorder", "window(n=40)|shuffle(seed=1)", "-p", "rcm"},
      {"run", "causal(n=40)", "-p", "rcm", "-b", "reference", "--heads", "1", "--repeats", "1"},
      {"sweep", (dir / "c.json").string(), "-o", results},
      {"table", results}};
  for (auto command : commands) {
    command.emplace_back("--json");
    const auto finished = run_blockfill(0, command);
    const Json json = Json::parse(finished.out, nullptr, false);
    EXPECT_FALSE(json.is_discarded()) << command[0] << ": " << finished.out;
  }
  // Of several records one a line, which is what the files hold.
  EXPECT_EQ(run_blockfill(0, {"table", results, results, "--json"}).out,
            test::slurp(results) + test::slurp(results));
}

TEST(Cli, OrderingsGoOutAndComeBack) {
  const TempDir dir;
  const std::string mask = "window(n=100,window=2)|shuffle(seed=4)";
  const auto file = dir / "order.npy";
  const auto report = Json::parse(
      run_blockfill(0, {"reorder", mask, "-p", "rcm", "-t", "16x16", "-o", file.string(), "--json"})
          .out);
  EXPECT_EQ(report["files"], Json::array({file.string()})) << "rcm orders queries and keys alike";
  const reorder::Permutation order(reorder::read_indices(file));
  EXPECT_EQ(order.size(), 100);

  const auto back = Json::parse(
      run_blockfill(0, {"fill", mask, "-t", "16x16", "-p", "file(" + file.string() + ")", "--json"})
          .out);
  EXPECT_EQ(back["tiles"][0]["nonempty"], report["after"]["nonempty"]);

  // The mask itself in its new order, for programs that know no orders.
  const auto ordered = dir / "ordered.npz";
  run_blockfill(0,
                {"reorder", mask, "-p", "rcm", "-t", "16x16", "--mask-output", ordered.string()});
  const auto recounted =
      Json::parse(run_blockfill(0, {"fill", ordered.string(), "-t", "16x16", "--json"}).out);
  EXPECT_EQ(recounted["tiles"][0]["nonempty"], report["after"]["nonempty"]);
  EXPECT_EQ(recounted["nnz"], 494) << "5 keys a query, 6 fewer at the ends";

  // Queries and keys apart: two files.
  test::spit(dir / "rows.txt", "2\n0\n1\n");
  test::spit(dir / "cols.txt", "1\n2\n0\n");
  const auto two = Json::parse(run_blockfill(0, {"reorder", "causal(n=3)", "-p",
                                                 "file(" + (dir / "rows.txt").string() + "," +
                                                     (dir / "cols.txt").string() + ")",
                                                 "-o", (dir / "two.npy").string(), "--json"})
                                   .out);
  ASSERT_EQ(two["files"].size(), 2U);
  EXPECT_EQ(reorder::read_indices(dir / "two.rows.npy"), (std::vector<std::int32_t>{2, 0, 1}));
  EXPECT_EQ(reorder::read_indices(dir / "two.cols.npy"), (std::vector<std::int32_t>{1, 2, 0}));
}

TEST(Cli, RunReportsAndRecords) {
  const TempDir dir;
  const auto file = dir / "r.jsonl";
  const auto finished = run_blockfill(0, {"run",        "docs(n=200,median=30)|shuffle(seed=2)",
                                          "-p",         "rcm",
                                          "-b",         "reference",
                                          "-t",         "16x16",
                                          "--heads",    "2",
                                          "--kv-heads", "1",
                                          "--head-dim", "16",
                                          "--repeats",  "2",
                                          "--min-time", "0",
                                          "--seed",     "7",
                                          "--threads",  "1",
                                          "-o",         file.string()});
  for (const char* part : {"verified", "whole result", "break-even", "natural order", "gather"}) {
    EXPECT_TRUE(has(finished.out, part)) << finished.out << "lacks: " << part;
  }
  const auto records = read_records(file);
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0].problem.seed, 7U);
  EXPECT_EQ(records[0].problem.threads, 1);
  EXPECT_EQ(records[0].problem.kv_heads, 1);
  EXPECT_EQ(records[0].status, "ok");
  const auto csv = run_blockfill(0, {"table", file.string(), "--format", "csv"}).out;
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 2) << csv;
}

TEST(Cli, BothPassesAreTimedApart) {
  const auto run = run_blockfill(0, {"run", "causal(n=40)", "--pass", "both", "--tile", "16x16",
                                     "--heads", "1", "--head-dim", "8", "--min-time", "0"});
  for (const char* part : {"forward and backward on cpu", "all gradients, 40 queries and 40 keys",
                           "  natural order", "    forward", "    backward"}) {
    EXPECT_TRUE(has(run.out, part)) << run.out << "lacks: " << part;
  }
}

TEST(Cli, StagesAndTotalOfAnOrderingAreOfOneRun) {
  const auto record = Json::parse(
      run_blockfill(0, {"run", "docs(n=2000,median=30)|shuffle(seed=2)", "-p", "peel(8)|rcm", "-b",
                        "reference", "--heads", "1", "--head-dim", "8", "--repeats", "5",
                        "--min-time", "5", "--verify", "none", "--json"})
          .out);
  const auto& total = record["ms"]["ordering"];
  ASSERT_EQ(total["samples"], 5) << "an odd number: the median is a run's own total";
  double stages = 0;
  for (const auto& stage : record["ordering"]["stages"]) stages += stage["ms"].get<double>();
  EXPECT_GT(stages, 0);
  EXPECT_LE(stages, total["median"].get<double>() * (1 + 1e-9));
}

TEST(Cli, AnInterruptedSweepGoesOn) {
  const TempDir dir;
  const auto results = dir / "r.jsonl";
  test::spit(dir / "c.json", R"json({"masks": "causal(n=64)", "seeds": [1,2,3,4,5,6,7,8,9,10,11,12],
      "backends": "reference", "heads": 1, "head_dims": 8, "repeats": 1, "min_time": 0.1})json");
  const std::vector<std::string> command = {"sweep", (dir / "c.json").string(), "-o",
                                            results.string()};
  const auto lines = [&] {
    const std::string text = test::slurp(results);
    return std::count(text.begin(), text.end(), '\n');
  };
  {
    test::Program program(command);
    for (int i = 0; i < 2000 && lines() < 2; ++i) ::usleep(5000);
    ASSERT_GE(lines(), 2) << program.err();
    ::kill(program.process(), SIGINT);
    EXPECT_EQ(program.wait(), 130) << program.err();
    EXPECT_TRUE(has(program.err(), "the same command goes on from here")) << program.err();
  }
  const auto kept = static_cast<int>(read_records(results).size());
  EXPECT_GE(kept, 2);
  EXPECT_LT(kept, 12);
  const std::string before = test::slurp(results);

  auto again = command;
  again.emplace_back("--json");
  const auto summary = Json::parse(run_blockfill(0, again).out);
  EXPECT_EQ(summary["skipped"], kept);
  EXPECT_EQ(summary["measured"], 12 - kept);
  EXPECT_TRUE(test::slurp(results).starts_with(before));
  EXPECT_EQ(read_records(results).size(), 12U);
}

TEST(Cli, AKeyOfASweepCanBeSet) {
  const TempDir dir;
  const auto config = dir / "c.json";
  const auto results = dir / "r.jsonl";
  test::spit(config, R"json({"masks": "causal(n={n})", "n": 4096, "backends": "cpu", "heads": 1,
      "head_dims": 8, "repeats": 1, "min_time": 0})json");
  const auto with = [&](std::initializer_list<std::string> sets) {
    std::vector<std::string> command = {"sweep", config.string(), "-o", results.string()};
    for (const std::string& set : sets) command.insert(command.end(), {"--set", set});
    return command;
  };
  run_blockfill(0, with({"n=[16,24]", "backends=reference", R"(dtypes="f16")"}));
  const auto records = read_records(results);
  ASSERT_EQ(records.size(), 2U);
  EXPECT_EQ(records[0].problem.mask, "causal(n=16)");
  EXPECT_EQ(records[1].problem.mask, "causal(n=24)");
  EXPECT_EQ(records[1].problem.backend, "reference");
  EXPECT_EQ(records[1].problem.dtype, "f16");
  expect_error(run_blockfill(2, with({"backend=cpu"})), "did you mean 'backends'?");
  expect_error(run_blockfill(2, with({"backends"})), "'backends' is no key=value");
  expect_error(run_blockfill(2, with({"masks=causal(n=8)", "n=64"})),
               config.string() + ": 'n' is set, but no mask has {n}, which it stands for\n");
}

TEST(Cli, AMisspeltSweepEndsBeforeItBegins) {
  const TempDir dir;
  const auto config = dir / "c.json";
  const auto results = dir / "r.jsonl";
  test::spit(config, R"json({"masks": "causal(n=8)", "pipelines": ["natural", "rmc"]})json");
  expect_error(run_blockfill(2, {"sweep", config.string(), "-o", results.string()}), "'rcm'");
  test::spit(config, "{\n\"masks\": \"causal(n=8)\",\n\"heads\": 1,,\n}");
  expect_error(run_blockfill(2, {"sweep", config.string(), "-o", results.string()}),
               "c.json:3:12: not JSON: expected a key in quotes, found ','");
  test::spit(config, R"json({"masks": "causal(n=8)", "min_time": 1e400})json");
  const auto large = run_blockfill(2, {"sweep", config.string(), "-o", results.string()});
  expect_error(large, "c.json:1:38: the number 1e400 is too large");
  test::spit(config, R"json({"masks": "no/such.mtx"})json");
  expect_error(run_blockfill(1, {"sweep", config.string(), "-o", results.string()}), "no/such.mtx");
  EXPECT_FALSE(std::filesystem::exists(results));
}

TEST(Cli, APluginIsAStrategyLikeAnyOther) {
  if (!std::filesystem::exists(EXAMPLE_PLUGIN)) {
    GTEST_SKIP() << EXAMPLE_PLUGIN << " is not built; ctest builds it";
  }
  const std::string mask = "window(n=100,window=2)|shuffle(seed=4)";
  (void)run_blockfill(0, {"list", "--plugin", EXAMPLE_PLUGIN, "--plugin", EXAMPLE_PLUGIN});
  const auto list =
      Json::parse(run_blockfill(0, {"list", "--json", "--plugin", EXAMPLE_PLUGIN}).out);
  const auto builtin = Json::parse(run_blockfill(0, {"list", "--json"}).out);
  ASSERT_EQ(list["strategies"].size(), builtin["strategies"].size() + 1);
  const std::string name = list["strategies"].back()["name"];
  const auto report =
      Json::parse(run_blockfill(0, {"run", mask, "-p", name, "-b", "reference", "--plugin",
                                    EXAMPLE_PLUGIN, "--repeats", "1", "--heads", "1", "--json"})
                      .out);
  EXPECT_EQ(report["status"], "ok");
  EXPECT_EQ(report["ordering"]["pipeline"], name);

  const auto folder = std::filesystem::path(EXAMPLE_PLUGIN).parent_path();
  ::setenv("REORDER_PLUGIN_PATH", folder.c_str(), 1);
  const auto found = Json::parse(run_blockfill(0, {"list", "--json"}).out);
  ::unsetenv("REORDER_PLUGIN_PATH");
  EXPECT_EQ(found["strategies"].size(), list["strategies"].size());
}

}  // namespace
}  // namespace experiments
