// SPDX-License-Identifier: Apache-2.0
// A collective between processes as rounds of sends and receives between all pairs of the group;
// sums are made by the receiver in rank order, as on every back end.
#pragma once
#include "profiler/comm/mpi_transport.hpp"
#include "profiler/comm/transport_world.hpp"

namespace meshplan {

using MpiGroup = TransportGroup<Transport>;

class MpiCollective : public Operation, public Active {
 public:
  /// own: this rank's place in the group; number: how many collectives the group had before.
  MpiCollective(const MpiGroup& group, int own, int64_t number, Request request);
  MpiCollective(const MpiCollective&) = delete;
  MpiCollective& operator=(const MpiCollective&) = delete;
  ~MpiCollective() override;

  Status wait() override;
  int64_t moved_bytes() const override { return moved_; }
  void step() override;

 private:
  struct Part {
    void* data = nullptr;
    int64_t bytes = 0;
  };
  void plan_round();
  void start_round();
  void finish_round();
  std::string mismatch(int from, const Header& header) const;
  int64_t part_of(int r) const;  ///< all-reduce: first byte of part r
  Status failed(const std::string& reason);

  MpiGroup group_;
  int own_, size_;
  int64_t number_;
  Request request_;
  int32_t phase_ = 0;
  bool done_ = false;
  std::vector<Part> send_, receive_;  ///< of this round, by rank
  std::vector<bool> announced_;       ///< header has come
  int arrived_ = 0;
  std::vector<MPI_Request> requests_;
  std::vector<char> scratch_;  ///< parts of the others before they are summed
  int64_t moved_ = 0, activity_ = 0;
  std::string fault_;
};

class MpiReceive : public Operation, public Active {
 public:
  MpiReceive(const MpiGroup& group, Request request);
  MpiReceive(const MpiReceive&) = delete;
  MpiReceive& operator=(const MpiReceive&) = delete;
  ~MpiReceive() override;
  Status wait() override;
  int64_t moved_bytes() const override;
  void step() override;

 private:
  MpiGroup group_;
  int from_;  ///< world rank
  Request request_;
  bool announced_ = false, done_ = false;
  int64_t activity_ = 0;
  std::vector<MPI_Request> requests_;
  std::string fault_;
};

}  // namespace meshplan
