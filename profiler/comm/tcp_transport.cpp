// SPDX-License-Identifier: Apache-2.0
#include "profiler/comm/tcp_transport.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/asio/connect.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <chrono>

namespace meshplan {
namespace {

using boost::asio::ip::tcp;
using Clock = std::chrono::steady_clock;
constexpr int64_t kLargestFrame = int64_t{1} << 34;

Clock::time_point after(double seconds) {
  return Clock::now() +
         std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

}  // namespace

bool TcpLink::write(const TcpHeader& header, const void* data) {
  const std::lock_guard lock(writing);
  boost::system::error_code fault;
  const std::array<boost::asio::const_buffer, 2> parts = {
      boost::asio::buffer(&header, sizeof(header)),
      boost::asio::buffer(data, static_cast<size_t>(header.payload))};
  boost::asio::write(socket, parts, fault);
  return !fault;
}

bool TcpLink::read(TcpFrame* frame) {
  boost::system::error_code fault;
  boost::asio::read(socket, boost::asio::buffer(&frame->header, sizeof(frame->header)), fault);
  if (fault || frame->header.payload < 0 || frame->header.payload > kLargestFrame) return false;
  frame->data.resize(static_cast<size_t>(frame->header.payload));
  boost::asio::read(socket, boost::asio::buffer(frame->data), fault);
  return !fault;
}

void TcpLink::close() {
  boost::system::error_code ignored;
  socket.shutdown(tcp::socket::shutdown_both, ignored);
}

/// On rank 0: takes frames from every rank and hands them on.
class TcpRouter {
 public:
  TcpRouter(boost::asio::io_context& io, int size)
      : acceptor_(io), links_(static_cast<size_t>(size)) {}
  ~TcpRouter() {
    boost::system::error_code ignored;
    acceptor_.close(ignored);
    for (const auto& link : links_) {
      if (link) link->close();
    }
    for (std::thread& thread : threads_) thread.join();
  }

  Status listen(uint16_t port) {
    boost::system::error_code fault;
    const tcp::endpoint here(tcp::v4(), port);
    acceptor_.open(here.protocol(), fault);
    if (!fault) acceptor_.set_option(tcp::acceptor::reuse_address(true), fault);
    if (!fault) acceptor_.bind(here, fault);
    if (!fault) acceptor_.listen(boost::asio::socket_base::max_listen_connections, fault);
    if (!fault) acceptor_.non_blocking(true, fault);
    if (!fault) return Done{};
    return Diagnostic{.kind = ErrorKind::input,
                      .message = "rank 0 cannot listen: " + fault.message(),
                      .where = "MASTER_PORT",
                      .value = std::to_string(port)};
  }

  /// All ranks, or an error that names who is missing.
  Status meet(double timeout_s) {
    const auto deadline = after(timeout_s);
    size_t come = 0;
    while (come < links_.size()) {
      boost::system::error_code fault;
      tcp::socket socket = acceptor_.accept(fault);
      if (fault) {
        if (Clock::now() > deadline) return missing(timeout_s);
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
        continue;
      }
      socket.non_blocking(false, fault);
      auto link = std::make_unique<TcpLink>(std::move(socket));
      TcpFrame frame;
      const bool greets = link->read(&frame) && frame.header.kind == TcpHeader::hello;
      const auto from = static_cast<size_t>(frame.header.from);
      if (!greets || frame.header.number != static_cast<int64_t>(links_.size()) ||
          from >= links_.size() || links_[from]) {
        return Diagnostic{.kind = ErrorKind::check,
                          .message =
                              "something that is no rank of this run, or a second one of "
                              "its number, has called rank 0"};
      }
      links_[from] = std::move(link);
      ++come;
    }
    for (const auto& link : links_) link->write({.kind = TcpHeader::go}, nullptr);
    for (size_t rank = 0; rank < links_.size(); ++rank) {  // nothing comes before the first frame
      threads_.emplace_back([this, rank] { carry(rank); });
    }
    return Done{};
  }

 private:
  Status missing(double timeout_s) const {
    std::string who;
    for (size_t r = 0; r < links_.size(); ++r) who += links_[r] ? "" : fmt::format(" {}", r);
    return Diagnostic{.kind = ErrorKind::check,
                      .message = fmt::format("no sign of rank{} within {} s", who, timeout_s)};
  }
  void carry(size_t rank) {
    bool left = false;
    for (TcpFrame frame; links_[rank]->read(&frame);) {
      left = left || frame.header.kind == TcpHeader::goodbye;
      if (frame.header.kind == TcpHeader::stop) {
        for (const auto& link : links_) link->write(frame.header, frame.data.data());
      } else if (static_cast<size_t>(frame.header.to) < links_.size()) {
        links_[static_cast<size_t>(frame.header.to)]->write(frame.header, frame.data.data());
      }
    }
    if (left) return;
    const std::string reason = fmt::format("rank {} has gone", rank);
    for (const auto& link : links_) {
      link->write({.kind = TcpHeader::stop, .payload = static_cast<int64_t>(reason.size())},
                  reason.data());
    }
    const std::string last = "\n" + reason;  // rank 0 does not wait for what will not come
    links_[0]->write({.kind = TcpHeader::goodbye,
                      .from = static_cast<int32_t>(rank),
                      .payload = static_cast<int64_t>(last.size())},
                     last.data());
  }

  tcp::acceptor acceptor_;
  std::vector<std::unique_ptr<TcpLink>> links_;  ///< by rank; whole before a thread starts
  std::vector<std::thread> threads_;
};

Result<std::unique_ptr<TcpTransport>> TcpTransport::open(const TcpPlace& place, double timeout_s) {
  std::unique_ptr<TcpTransport> made(new TcpTransport(place, timeout_s));
  if (place.rank == 0) {
    made->router_ = std::make_unique<TcpRouter>(made->io_, place.size);
    MESHPLAN_CHECK(made->router_->listen(place.port));
  }
  const auto deadline = after(timeout_s);
  tcp::socket socket(made->io_);
  boost::system::error_code fault;
  do {  // rank 0 may come later
    tcp::resolver resolver(made->io_);
    const auto found = resolver.resolve(place.address, std::to_string(place.port), fault);
    if (!fault) boost::asio::connect(socket, found, fault);
    if (!fault) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  } while (Clock::now() < deadline);
  if (!fault) socket.set_option(tcp::no_delay(true), fault);
  if (fault) {
    return Diagnostic{
        .kind = ErrorKind::input,
        .message = fmt::format("no rank 0 within {} s: {}", timeout_s, fault.message()),
        .where = "MASTER_ADDR, MASTER_PORT",
        .value = fmt::format("{}:{}", place.address, place.port)};
  }
  made->link_ = std::make_unique<TcpLink>(std::move(socket));
  made->link_->write({.kind = TcpHeader::hello, .from = place.rank, .number = place.size}, nullptr);
  if (made->router_) MESHPLAN_CHECK(made->router_->meet(timeout_s));
  TcpFrame frame;
  if (!made->link_->read(&frame) || frame.header.kind != TcpHeader::go) {
    return Diagnostic{.kind = ErrorKind::check, .message = "rank 0 has given up waiting for all"};
  }
  made->reader_ = std::thread([transport = made.get()] { transport->read_all(); });
  return made;
}

TcpTransport::TcpTransport(TcpPlace place, double timeout_s)
    : place_(std::move(place)), timeout_s_(timeout_s) {}

TcpTransport::~TcpTransport() {
  {
    const std::lock_guard lock(mutex_);
    leaving_ = true;
  }
  if (link_) link_->close();
  if (reader_.joinable()) reader_.join();
}

void TcpTransport::read_all() {
  for (TcpFrame frame; link_->read(&frame);) {
    const TcpHeader& h = frame.header;
    if (h.kind == TcpHeader::stop) {
      stop_here({frame.data.begin(), frame.data.end()});
      continue;
    }
    const std::lock_guard lock(mutex_);
    mail_[{h.kind, h.from, h.group, h.number}].push_back(std::move(frame));
    changed_.notify_all();
  }
  stop_here("rank 0 has gone");
  const std::lock_guard lock(mutex_);
  gone_ = true;
  changed_.notify_all();
}

void TcpTransport::stop_here(const std::string& reason) {
  const std::lock_guard lock(mutex_);
  if (stopped_ || leaving_) return;
  stopped_ = true;
  reason_ = reason;
  changed_.notify_all();
}

void TcpTransport::stop(const std::string& reason) {
  {
    const std::lock_guard lock(mutex_);
    if (stopped_) return;
  }
  stop_here(reason);
  link_->write({.kind = TcpHeader::stop, .payload = static_cast<int64_t>(reason.size())},
               reason.data());
}

bool TcpTransport::stopped() {
  const std::lock_guard lock(mutex_);
  return stopped_;
}

Diagnostic TcpTransport::error() {
  const std::lock_guard lock(mutex_);
  return {.kind = ErrorKind::check, .message = reason_, .rule = kAbortedRule};
}

void TcpTransport::send(TcpHeader header, const void* data) {
  header.from = place_.rank;
  link_->write(header, data);
}

std::deque<TcpFrame>* TcpTransport::box_of(const Key& key) {
  const auto found = mail_.find(key);
  return found == mail_.end() ? nullptr : &found->second;
}

Result<TcpFrame> TcpTransport::take(TcpHeader::Kind kind, int from, uint64_t group, int64_t number,
                                    const std::string& what) {
  const Key key{kind, from, group, number};
  const auto deadline = after(timeout_s_);
  std::unique_lock lock(mutex_);
  while (true) {
    if (std::deque<TcpFrame>* box = box_of(key)) {
      TcpFrame frame = std::move(box->front());
      box->pop_front();
      if (box->empty()) mail_.erase(key);
      return frame;
    }
    if (stopped_) {
      return Diagnostic{.kind = ErrorKind::check, .message = reason_, .rule = kAbortedRule};
    }
    if (changed_.wait_until(lock, deadline) != std::cv_status::timeout || box_of(key) != nullptr) {
      continue;
    }
    const std::string reason =
        fmt::format("{}: no sign of rank {} within {} s", what, from, timeout_s_);
    lock.unlock();
    stop(reason);
    return Diagnostic{.kind = ErrorKind::check, .message = reason};
  }
}

bool TcpTransport::wait_for_goodbye(int from, double seconds, std::string* said) {
  const Key key{TcpHeader::goodbye, from, 0, 0};
  std::unique_lock lock(mutex_);
  changed_.wait_until(lock, after(seconds), [&] { return gone_ || box_of(key) != nullptr; });
  const std::deque<TcpFrame>* box = box_of(key);
  if (box == nullptr) return false;
  said->assign(box->front().data.begin(), box->front().data.end());
  return true;
}

Status TcpTransport::finish(const Status& own) {
  std::string text = own.ok() ? "" : own.error().rule + "\n" + own.error().message;
  send({.kind = TcpHeader::goodbye, .payload = static_cast<int64_t>(text.size())}, text.data());
  std::string said;
  if (place_.rank != 0) {  // the connection stays until rank 0 has heard of all
    wait_for_goodbye(0, 4 * timeout_s_, &said);
    return own;
  }
  Status first = own;
  for (int rank = 1; rank < place_.size; ++rank) {
    if (!wait_for_goodbye(rank, 2 * timeout_s_, &said)) {
      if (first.ok()) {
        first = Diagnostic{.kind = ErrorKind::check,
                           .message = fmt::format("rank {} has not finished", rank)};
      }
      continue;
    }
    if (said.empty()) continue;
    const size_t line = said.find('\n');
    const Diagnostic error{.kind = ErrorKind::check,
                           .message = said.substr(line + 1),
                           .where = fmt::format("rank {}", rank),
                           .rule = said.substr(0, line)};
    const bool better =
        first.ok() || (first.error().rule == kAbortedRule && error.rule != kAbortedRule);
    if (better) first = error;
  }
  for (int rank = 1; rank < place_.size; ++rank) send({.kind = TcpHeader::goodbye, .to = rank}, "");
  return first;
}

}  // namespace meshplan
