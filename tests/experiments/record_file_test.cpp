// SPDX-License-Identifier: Apache-2.0
#include "experiments/record_file.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>

#include "experiments/support.hpp"
#include "reorder/error.hpp"

namespace experiments {
namespace {

using test::sample_record;
using test::slurp;
using test::spit;
using test::TempDir;

template <class Work>
std::string error_of(Work&& work) {
  try {
    work();
  } catch (const reorder::Error& error) {
    EXPECT_EQ(error.code(), reorder::ErrorCode::bad_file);
    return error.what();
  }
  return "";
}

TEST(RecordFile, AppendsLinesThatComeBack) {
  const TempDir dir;
  const auto path = dir / "r.jsonl";
  {
    RecordFile file(path);
    EXPECT_TRUE(file.earlier().empty());
    file.append(sample_record("a"));
  }
  RecordFile(path).append(sample_record("b"));
  const auto records = read_records(path);
  ASSERT_EQ(records.size(), 2U);
  EXPECT_EQ(records[0].problem.mask, "a");
  EXPECT_EQ(records[1].problem.mask, "b");
  EXPECT_EQ(RecordFile(path).earlier().size(), 2U);
}

TEST(RecordFile, CutsATornLastLineWhereverItWasTorn) {
  const TempDir dir;
  const auto path = dir / "r.jsonl";
  const std::string whole = to_json(sample_record("a")).dump() + "\n";
  const std::string next = to_json(sample_record("b")).dump() + "\n";
  for (std::size_t length = 1; length < next.size(); length += 97) {
    spit(path, whole + next.substr(0, length));
    EXPECT_EQ(read_records(path).size(), 1U) << "torn after " << length << " bytes";
    {
      RecordFile file(path);
      EXPECT_TRUE(file.was_torn());
      EXPECT_EQ(file.earlier().size(), 1U);
    }
    EXPECT_EQ(slurp(path), whole) << "torn after " << length << " bytes";
  }
}

TEST(RecordFile, NamesTheLineOfAnyOtherDamage) {
  const TempDir dir;
  const auto path = dir / "r.jsonl";
  const std::string line = to_json(sample_record()).dump() + "\n";
  spit(path, line + "{\"schema_\n" + line);
  const std::string error = error_of([&] { RecordFile file(path); });
  EXPECT_EQ(error, path.string() + ":2: not JSON");
  EXPECT_EQ(slurp(path), line + "{\"schema_\n" + line) << "a damaged file is left as it is";
}

TEST(RecordFile, LeavesAFileOfAnotherKindAlone) {
  const TempDir dir;
  const auto path = dir / "notes.txt";
  spit(path, "my only copy");
  EXPECT_NE(error_of([&] { RecordFile file(path); }), "");
  EXPECT_EQ(error_of([&] { (void)read_records(path); }), path.string() + ":1: not a record");
  EXPECT_EQ(slurp(path), "my only copy");
}

TEST(RecordFile, RefusesASecondWriter) {
  const TempDir dir;
  const auto path = dir / "r.jsonl";
  const RecordFile first(path);
  const std::string error = error_of([&] { RecordFile second(path); });
  EXPECT_NE(error.find("another sweep"), std::string::npos) << error;
}

TEST(RecordFile, SaysThatTheDiskIsFull) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full on this system";
  RecordFile file("/dev/full");
  const std::string error = error_of([&] { file.append(sample_record()); });
  EXPECT_EQ(error, "/dev/full: cannot write: No space left on device");
}

TEST(RecordFile, TakesBackALineThatDidNotFit) {
  const TempDir dir;
  const auto path = dir / "r.jsonl";
  RecordFile file(path);
  file.append(sample_record("a"));
  const std::string before = slurp(path);

  // A limit on the size of files stands in for a disk that fills up in the middle of a line.
  rlimit old{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old), 0);
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = old;
  small.rlim_cur = before.size() + before.size() / 2;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string error = error_of([&] { file.append(sample_record("b")); });
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &old), 0);
  std::signal(SIGXFSZ, SIG_DFL);

  EXPECT_NE(error.find("the records before are kept"), std::string::npos) << error;
  EXPECT_EQ(slurp(path), before);
  file.append(sample_record("c"));
  EXPECT_EQ(read_records(path).size(), 2U) << "and the next record fits again";
}

}  // namespace
}  // namespace experiments
