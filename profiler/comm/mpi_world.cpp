// SPDX-License-Identifier: Apache-2.0
#include "profiler/comm/mpi_world.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <numeric>
#include <thread>

#include "profiler/comm/mpi_collective.hpp"

namespace meshplan {
namespace {

class MpiSend : public Operation {
 public:
  explicit MpiSend(Status status) : status_(std::move(status)) {}
  Status wait() override { return status_; }
  int64_t moved_bytes() const override { return 0; }

 private:
  Status status_;
};

class MpiCommunicator : public Communicator {
 public:
  MpiCommunicator(MpiGroup group, int own, Ledger* ledger)
      : Communicator(group.label, own, static_cast<int>(group.members.size()), ledger),
        group_(std::move(group)) {}

 private:
  std::unique_ptr<Operation> start(Request request) override {
    Transport& transport = *group_.transport;
    if (request.transfer == Transfer::receive) {
      return std::make_unique<MpiReceive>(group_, std::move(request));
    }
    if (request.transfer != Transfer::send) {
      return std::make_unique<MpiCollective>(group_, rank(), next_++, std::move(request));
    }
    if (transport.stopped()) return std::make_unique<MpiSend>(transport.error());
    transport.send_copy(group_.members[static_cast<size_t>(request.peer)],
                        {.group = group_.id,
                         .number = request.tag,
                         .message = 1,
                         .transfer = static_cast<int32_t>(Transfer::send),
                         .bytes = request.bytes,
                         .payload = request.bytes},
                        request.send);
    transport.progress();
    return std::make_unique<MpiSend>(Done{});
  }

  MpiGroup group_;
  int64_t next_ = 0;
};

using MpiWorld = TransportWorld<Transport, MpiCommunicator>;

Transport* transport = nullptr;  // of this process, until finish_mpi
bool clean = false;

}  // namespace

Status run_mpi_rank(const WorldOptions& options, const RankFunction& rank) {
  if (transport != nullptr) {
    return Diagnostic{.message = "run_mpi_rank is called twice in one process"};
  }
  int provided = 0;
  MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided);
  MPI_Comm comm = MPI_COMM_NULL;
  MPI_Comm_dup(MPI_COMM_WORLD, &comm);
  transport = new Transport(comm, options.timeout_s);  // NOLINT: outlives unfinished operations
  Status status = Done{};
  {
    MpiWorld world(transport);
    status = guarded_rank(rank, world);
  }
  if (!status.ok()) {
    const std::string where = fmt::format("rank {}", transport->rank());
    if (status.error().rule != kAbortedRule) {
      transport->stop(fmt::format("{} failed: {}", where, status.error().message));
    }
    status = at(status.error(), where);
  }
  clean = transport->gather_status(&status);
  return status;
}

void finish_mpi(int exit_code) {
  if (transport == nullptr) return;
  if (clean) {
    delete transport;  // NOLINT
    transport = nullptr;
    MPI_Finalize();
    return;
  }
  if (transport->rank() != 0) {  // rank 0 ends all; if it can't any more, this rank does
    std::this_thread::sleep_for(std::chrono::duration<double>(4 * transport->timeout_s()));
  }
  MPI_Abort(MPI_COMM_WORLD, exit_code == 0 ? 1 : exit_code);
}

}  // namespace meshplan
