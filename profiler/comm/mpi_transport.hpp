// SPDX-License-Identifier: Apache-2.0
// Headers and data between processes: the only file pair that calls MPI's message functions.
//
// Every message is a header of fixed size, found by probing, and its data on a tag of its own, so
// that the receiver knows what comes before it says where to: different calls that meet are seen,
// and nothing blocks. No call waits inside MPI: waiting is a loop over progress() with a time-out.
#pragma once
#include <mpi.h>

#include <deque>
#include <list>
#include <map>
#include <set>
#include <string>
#include <tuple>

#include "profiler/comm/world.hpp"

namespace meshplan {

/// What stands before the data. Collectives: number counts the calls of the group, phase the rounds
/// of a call; messages between two ranks: number is the tag.
struct Header {
  uint64_t group = 0;
  int64_t number = 0;
  int32_t phase = 0;
  int32_t message = 0;  ///< 1: send and receive
  int32_t transfer = 0, element = 0, reduce = 0, root = -1;
  int64_t bytes = 0;    ///< Request::bytes of the sender
  int64_t payload = 0;  ///< bytes of data for the receiver
  int32_t data_tag = 0, padding = 0;
};

/// Something under way that progress() moves on.
class Active {
 public:
  virtual ~Active() = default;
  virtual void step() = 0;
};

class Transport {
 public:
  Transport(MPI_Comm comm, double timeout_s);

  int rank() const { return rank_; }
  int size() const { return size_; }
  double timeout_s() const { return timeout_s_; }

  /// Sends header and data; the requests of the data are appended, the data stays the caller's
  /// until they are done.
  void send(int to, Header header, const void* data, std::vector<MPI_Request>* requests);
  /// The same with a copy that the transport keeps.
  void send_copy(int to, Header header, const void* data);
  /// Takes the first header that fits, if it has come.
  bool take(int from, uint64_t group, int64_t number, int32_t phase, bool message, Header* header);
  /// Data of a header.
  void receive(int from, const Header& header, void* data, std::vector<MPI_Request>* requests);

  void add(Active* active) { active_.insert(active); }
  void remove(Active* active) { active_.erase(active); }
  void progress();
  /// progress() until `done` says so; false after `seconds`. `activity`, where given, counts signs
  /// of life: each starts the time anew.
  bool progress_until(const std::function<bool()>& done, double seconds,
                      const int64_t* activity = nullptr);

  /// Ends the run on all ranks; the first reason wins.
  void stop(const std::string& reason);
  bool stopped() const { return stopped_; }
  Diagnostic error() const;

  /// End of the run: every rank's status goes to rank 0, which answers when it has them all (or
  /// gives up). True if all ranks got there; *status then is as run_mpi_rank returns it.
  bool gather_status(Status* status);

 private:
  using Key = std::tuple<int, uint64_t, int64_t, int32_t, int32_t>;
  struct Kept {
    std::vector<char> bytes;
    std::vector<MPI_Request> requests;
  };
  void send_control(int to, int tag, const std::string& text);
  void poll_headers();
  void poll_control();
  void forget_sent();

  MPI_Comm comm_;
  double timeout_s_;
  int rank_ = 0, size_ = 1;
  int largest_tag_ = 32767;
  int next_tag_ = 0;
  std::map<Key, std::deque<Header>> inbox_;
  std::list<Kept> kept_;
  std::set<Active*> active_;
  bool stopped_ = false;
  std::string reason_;
  std::map<int, std::string> statuses_;  ///< rank 0: by rank
  bool dismissed_ = false;               ///< other ranks: rank 0 has answered
};

}  // namespace meshplan
