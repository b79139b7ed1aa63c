// SPDX-License-Identifier: Apache-2.0
// How does a rank that is a process make its groups? The world over a transport between processes.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "profiler/comm/world.hpp"

namespace meshplan {

/// What the communicators of a transport need to know of their group.
template <class Transport>
struct TransportGroup {
  Transport* transport;
  std::vector<int> members;  ///< world ranks
  std::string label;
  uint64_t id;
};

/// `Member`: communicator made of (TransportGroup<Transport>, own place, ledger).
template <class Transport, class Member>
class TransportWorld : public World {
 public:
  explicit TransportWorld(Transport* transport) : transport_(transport) {}
  int rank() const override { return transport_->rank(); }
  int size() const override { return transport_->size(); }
  void stop(const std::string& reason) override { transport_->stop(reason); }

  Result<std::unique_ptr<Communicator>> group(const std::vector<int>& members,
                                              const std::string& label) override {
    MESHPLAN_TRY(const int own, place_in_group(members, label));
    return std::unique_ptr<Communicator>(std::make_unique<Member>(
        TransportGroup<Transport>{transport_, members, label, next_group_id(members, label)}, own,
        &ledger()));
  }

 private:
  Transport* transport_;
};

}  // namespace meshplan
