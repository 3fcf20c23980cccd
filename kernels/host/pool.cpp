#include "pool.h"

#include <cstdlib>
#include <new>
#include <utility>

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace convnotes {

namespace {

void relax() {
#if defined(__x86_64__) || defined(_M_X64)
  _mm_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("yield");
#endif
}

/** About 30 µs on a machine of today, longer than the gap between two operations of a step. */
constexpr int SPINS = 1500;

}  // namespace

// ## Scratch

Scratch::~Scratch() { std::free(data_); }

float* Scratch::reserve(size_t floats) {
  if (floats <= size_) return data_;
  std::free(data_);
  data_ = nullptr;
  size_ = 0;
  const size_t bytes = (floats * sizeof(float) + 4095) / 4096 * 4096;
  data_ = static_cast<float*>(std::aligned_alloc(4096, bytes));
  if (!data_) throw std::bad_alloc();
  size_ = bytes / sizeof(float);
  return data_;
}

void Pool::reserve(size_t each, size_t together) {
  for (int t = 0; t < threads_; t++) scratch_[t].reserve(each);
  shared_.reserve(together);
}

// ## Fork and join
//
// `start` publishes the work by moving `started_`; the barrier at the end of `run` collects it.
// Sleeping goes through a mutex: a waker that finds `asleep_` at 0 knows that whoever is about to
// sleep will look at the word again first, because both sides order "write mine, then read yours".

Pool::Pool(int threads, int64_t grain)
    : threads_(threads), grain_(grain), taking_(threads), scratch_(new Scratch[threads]) {
  try {
    for (int t = 1; t < threads; t++) workers_.emplace_back([this, t] { work(t); });
  } catch (...) {
    // Those that did start must not outlive the team.
    stop();
    throw;
  }
}

Pool::~Pool() { stop(); }

void Pool::stop() {
  stopping_ = true;
  started_.fetch_add(1);
  {
    std::lock_guard lock(mutex_);
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void Pool::await(std::atomic<uint32_t>& word, uint32_t old) {
  for (int i = 0; i < SPINS; i++) {
    if (word.load(std::memory_order_acquire) != old) return;
    relax();
  }
  std::unique_lock lock(mutex_);
  asleep_.fetch_add(1);
  wake_.wait(lock, [&] { return word.load() != old; });
  asleep_.fetch_sub(1);
}

void Pool::barrier() {
  if (threads_ == 1) return;
  const uint32_t phase = phase_.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) == threads_ - 1) {
    arrived_.store(0, std::memory_order_relaxed);
    phase_.store(phase + 1);
    if (asleep_.load() > 0) {
      {
        std::lock_guard lock(mutex_);
      }
      wake_.notify_all();
    }
  } else {
    await(phase_, phase);
  }
}

void Pool::start(Body body, const void* context) {
  if (taking_ == 1) return body(context, 0);
  body_ = body;
  context_ = context;
  if (threads_ > 1) {
    started_.fetch_add(1);
    if (asleep_.load() > 0) {
      {
        std::lock_guard lock(mutex_);
      }
      wake_.notify_all();
    }
  }
  attempt(0);
  barrier();
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

void Pool::attempt(int thread) {
  try {
    body_(context_, thread);
  } catch (...) {
    std::lock_guard lock(mutex_);
    failure_ = std::current_exception();
  }
}

void Pool::work(int thread) {
  for (uint32_t seen = 0;;) {
    await(started_, seen);
    seen++;
    if (stopping_) return;
    attempt(thread);
    barrier();
  }
}

}  // namespace convnotes
