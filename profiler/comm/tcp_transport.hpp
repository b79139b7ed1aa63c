// SPDX-License-Identifier: Apache-2.0
// Frames between processes that know nothing of each other but the address of rank 0. Rank 0
// carries them all: this is for ids, addresses and small runs, data between GPUs goes by NCCL.
//
// Sending waits for the network only: the other end takes every frame at once and keeps it. Threads
// of a transport read; all calls come from the rank's thread.
#pragma once
// No handlers are run here, so there is nothing to fence; ThreadSanitizer does not know fences.
#define BOOST_ASIO_DISABLE_FENCED_BLOCK
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <tuple>

#include "profiler/comm/tcp_world.hpp"

namespace meshplan {

/// What stands before the data. Collectives: number counts the calls of the group; messages between
/// two ranks: number is the tag.
struct TcpHeader {
  enum Kind : int32_t { hello, go, collective, message, stop, goodbye };
  int32_t kind = hello, from = 0, to = 0;
  int32_t transfer = 0, element = 0, reduce = 0, root = -1, padding = 0;
  uint64_t group = 0;
  int64_t number = 0;
  int64_t bytes = 0;    ///< Request::bytes of the sender
  int64_t payload = 0;  ///< bytes of data
};
struct TcpFrame {
  TcpHeader header;
  std::vector<char> data;
};

/// A socket that one thread reads and several write.
struct TcpLink {
  explicit TcpLink(boost::asio::ip::tcp::socket connected) : socket(std::move(connected)) {}
  boost::asio::ip::tcp::socket socket;
  std::mutex writing;

  bool write(const TcpHeader& header, const void* data);  ///< false: the other end has gone
  bool read(TcpFrame* frame);
  void close();  ///< ends a read()
};

class TcpRouter;

class TcpTransport {
 public:
  /// Returns when all ranks have come. Error (check): they have not within the time-out; (input):
  /// no such address.
  static Result<std::unique_ptr<TcpTransport>> open(const TcpPlace& place, double timeout_s);
  ~TcpTransport();

  int rank() const { return place_.rank; }
  int size() const { return place_.size; }
  double timeout_s() const { return timeout_s_; }

  void send(TcpHeader header, const void* data);
  /// The first frame of that kind that has come, or comes within the time-out. Error: none, or the
  /// run has ended. `what` names the call in the error.
  Result<TcpFrame> take(TcpHeader::Kind kind, int from, uint64_t group, int64_t number,
                        const std::string& what);
  /// Ends the run on all ranks; the first reason wins.
  void stop(const std::string& reason);
  bool stopped();
  Diagnostic error();

  /// End of the run: every rank's status goes to rank 0, which returns the first error (of all
  /// ranks, as run_ranks does), others their own.
  Status finish(const Status& own);

 private:
  using Key = std::tuple<int32_t, int, uint64_t, int64_t>;
  TcpTransport(TcpPlace place, double timeout_s);
  /// Whatever ended the run. False: not within the time.
  bool wait_for_goodbye(int from, double seconds, std::string* said);
  void read_all();
  void stop_here(const std::string& reason);
  std::deque<TcpFrame>* box_of(const Key& key);

  TcpPlace place_;
  double timeout_s_;
  boost::asio::io_context io_;
  std::unique_ptr<TcpRouter> router_;  ///< rank 0
  std::unique_ptr<TcpLink> link_;
  std::thread reader_;
  std::mutex mutex_;  ///< of all below
  std::condition_variable changed_;
  std::map<Key, std::deque<TcpFrame>> mail_;
  bool stopped_ = false, leaving_ = false, gone_ = false;  ///< gone: nothing more comes
  std::string reason_;
};

}  // namespace meshplan
