#include "memod/server/compute_pool.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "memod/cache/memo_error.h"

namespace memod {
namespace {

// A thread's own needs, and what one nested call may take with all that the hosted method puts on
// the stack; the tests recurse to the default depth under the address sanitizer, whose frames are
// large. Untouched pages cost nothing.
constexpr size_t kBaseStack = 8 << 20;
constexpr size_t kStackPerCall = 64 << 10;

// How much nicer than the rest of the process: so much that whoever answers from memory gets the CPU
// at once, where a computation had it (measured: from 3 on), and little enough that other processes
// leave the computations their part.
constexpr int kNicer = 5;

absl::Status Stopping() {
  return MemoError(absl::StatusCode::kUnavailable, memo_error::kDraining, "the server is stopping");
}

}  // namespace

ComputePool::ComputePool(const Options& options)
    : queue_limit_(options.queue), name_(options.name) {
  const int threads = options.threads > 0
                          ? options.threads
                          : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  {
    MutexLock lock(mutex_);
    idle_ = threads;
  }
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kBaseStack + kStackPerCall * options.max_depth);
  threads_.resize(threads);
  for (pthread_t& thread : threads_) {
    const int error = pthread_create(
        &thread, &attributes,
        [](void* pool) -> void* {
          static_cast<ComputePool*>(pool)->Run();
          return nullptr;
        },
        this);
    if (error != 0) {
      std::fprintf(stderr, "memod: cannot start %d compute threads (compute.threads): %s\n",
                   threads, std::strerror(error));
      std::_Exit(1);
    }
  }
  pthread_attr_destroy(&attributes);
}

ComputePool::~ComputePool() {
  Stop();
  for (pthread_t thread : threads_) pthread_join(thread, nullptr);
}

void ComputePool::Submit(Job job, Wanted wanted) {
  absl::Status refused;
  std::vector<Job> unwanted;
  {
    MutexLock lock(mutex_);
    // A job that an idle thread will take at once does not count as queued.
    const auto full = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return static_cast<int64_t>(queue_.size()) - idle_ >= queue_limit_;
    };
    if (full()) unwanted = TakeUnwanted();
    if (stopped_) {
      refused = Stopping();
    } else if (full()) {
      refused = MemoError(absl::StatusCode::kResourceExhausted, memo_error::kLimit,
                          absl::StrCat("too many computations: ", threads_.size(), " run and ",
                                       static_cast<int64_t>(queue_.size()) - idle_, " wait, limit ",
                                       queue_limit_, " (", name_, ")"));
    } else {
      queue_.push_back({std::move(job), std::move(wanted)});
    }
  }
  for (Job& gone : unwanted) gone(absl::CancelledError());
  if (!refused.ok()) return job(refused);
  changed_.notify_one();
}

int64_t ComputePool::queued() const {
  MutexLock lock(mutex_);
  return static_cast<int64_t>(queue_.size());
}

std::vector<ComputePool::Job> ComputePool::TakeUnwanted() {
  std::vector<Job> unwanted;
  std::erase_if(queue_, [&](Queued& queued) {
    if (queued.wanted()) return false;
    unwanted.push_back(std::move(queued.job));
    return true;
  });
  return unwanted;
}

void ComputePool::Stop() {
  std::deque<Queued> refused;
  {
    MutexLock lock(mutex_);
    stopped_ = true;
    refused.swap(queue_);
  }
  changed_.notify_all();
  for (Queued& queued : refused) queued.job(Stopping());
}

void ComputePool::Run() {
  // This thread alone, on Linux. Where it is not allowed, computations are as they would be without.
  [[maybe_unused]] const int niceness = nice(kNicer);
  while (true) {
    Queued next;
    {
      MutexLock lock(mutex_);
      while (queue_.empty() && !stopped_) changed_.wait(mutex_);
      if (queue_.empty()) return;
      next = std::move(queue_.front());
      queue_.pop_front();
      --idle_;
    }
    next.job(next.wanted() ? absl::OkStatus() : absl::CancelledError());
    next = {};  // what it holds is freed before the thread counts as idle
    MutexLock lock(mutex_);
    ++idle_;
  }
}

}  // namespace memod
