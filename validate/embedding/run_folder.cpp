// SPDX-License-Identifier: Apache-2.0
#include "validate/embedding/run_folder.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <numeric>
#include <random>
#include <utility>

#include "topologies/base/files.hpp"

namespace meshplan::graph {
namespace {

constexpr size_t kLongestPath = 4096;

std::vector<int> everyone(const World& world) {
  std::vector<int> out(static_cast<size_t>(world.size()));
  std::iota(out.begin(), out.end(), 0);
  return out;
}

}  // namespace

Status make_folder(const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (!error) return Done{};
  return Diagnostic{.kind = ErrorKind::input,
                    .message = "cannot make the folder: " + error.message(),
                    .where = folder};
}

Result<RunFolder> RunFolder::take(const std::string& folder) {
  RunFolder out;
  std::error_code ignored;
  if (folder.empty()) {
    std::string name = (std::filesystem::temp_directory_path(ignored) / "meshplan-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr)
      return Diagnostic{.kind = ErrorKind::input,
                        .message = "cannot make a temporary folder",
                        .where = name,
                        .hint = "--checkpoints FOLDER"};
    out.path_ = name;
    out.temporary_ = true;
    return out;
  }
  out.path_ = folder;
  std::filesystem::create_directories(folder, ignored);
  const std::string path = folder + "/LOCK";
  out.lock_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (out.lock_ >= 0 && ::flock(out.lock_, LOCK_EX | LOCK_NB) == 0) return out;
  return Diagnostic{
      .kind = ErrorKind::input,
      .message = out.lock_ < 0 ? "cannot write in the folder" : "another run is using the folder",
      .where = path,
      .hint = "give another folder, or wait"};
}

RunFolder::RunFolder(RunFolder&& other) noexcept { *this = std::move(other); }

RunFolder& RunFolder::operator=(RunFolder&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(temporary_, other.temporary_);
  std::swap(lock_, other.lock_);
  return *this;
}

RunFolder::~RunFolder() {
  std::error_code ignored;
  if (temporary_) std::filesystem::remove_all(path_, ignored);
  if (lock_ >= 0) ::close(lock_);
}

Result<std::string> common_folder(World& world, const std::string& folder, RunFolder& own) {
  MESHPLAN_TRY(const std::unique_ptr<Communicator> all, world.group(everyone(world), "folder"));
  std::array<char, kLongestPath> path{};
  uint64_t mark = 0;
  const auto mark_file = [&] { return std::string(path.data()) + "/RANKS"; };
  if (world.rank() == 0) {
    MESHPLAN_TRY(own, RunFolder::take(folder));
    const std::string whole = std::filesystem::absolute(own.path()).string();
    if (whole.size() >= path.size())
      return Diagnostic{.kind = ErrorKind::input, .message = "too long a path", .where = whole};
    whole.copy(path.data(), whole.size());
    mark = std::random_device()();
    MESHPLAN_CHECK(write_file(mark_file(), fmt::format("{}", mark)));
  }
  MESHPLAN_CHECK(all->broadcast(path.data(), static_cast<int64_t>(path.size()), 0));
  MESHPLAN_CHECK(all->broadcast(&mark, sizeof(mark), 0));
  const Result<std::string> seen = read_file(mark_file());
  if (!seen.ok() || *seen != fmt::format("{}", mark))
    return Diagnostic{.kind = ErrorKind::input,
                      .message = fmt::format("rank {} does not see rank 0's folder", world.rank()),
                      .where = path.data(),
                      .hint = "--checkpoints FOLDER on a file system that all ranks share"};
  MESHPLAN_CHECK(all->barrier());
  if (world.rank() == 0) {
    std::error_code ignored;  // a mark that stays is only a waste of space
    std::filesystem::remove(mark_file(), ignored);
  }
  return std::string(path.data());
}

}  // namespace meshplan::graph
