// SPDX-License-Identifier: Apache-2.0
// One rank's view of a run: who am I, which groups am I in, what did I communicate, and how does
// the run end when something goes wrong? Back ends: thread_world.hpp, mpi_world.hpp.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "profiler/comm/communicator.hpp"

namespace meshplan {

struct WorldOptions {
  /// No rank waits longer than this for another one; ranks finish within twice that.
  double timeout_s = 60;
};

class World {
 public:
  virtual ~World() = default;
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  virtual int rank() const = 0;
  virtual int size() const = 0;

  /// Handle of the group of `members` (distinct ranks in the group's order, this one among them).
  /// All members call it with the same list and label, and in the same order where they are members
  /// of several groups. The label names the group in ledger and errors. Error (internal): a list
  /// that is not such a group; missing members show up as a time-out of the first operation.
  virtual Result<std::unique_ptr<Communicator>> group(const std::vector<int>& members,
                                                      const std::string& label) = 0;

  /// Ends the run: every call of every rank returns an error with this reason from now on.
  virtual void stop(const std::string& reason) = 0;

  Ledger& ledger() { return ledger_; }
  const Ledger& ledger() const { return ledger_; }

 protected:
  World() = default;
  /// Number of the group that `members` make next under this label: the same on all of them without
  /// asking anyone.
  uint64_t next_group_id(const std::vector<int>& members, const std::string& label);
  /// This rank's place in a legal list of members.
  Result<int> place_in_group(const std::vector<int>& members, const std::string& label) const;

 private:
  Ledger ledger_;
  std::map<std::pair<std::vector<int>, std::string>, int> made_;
};

/// What one rank does. A returned error ends the run on all ranks.
using RankFunction = std::function<Status(World&)>;

/// Calls it; an exception is an error of the rank.
Status guarded_rank(const RankFunction& function, World& world);

/// `rule` of errors that only say that another rank ended the run.
inline constexpr const char* kAbortedRule = "communicator.aborted";

}  // namespace meshplan
