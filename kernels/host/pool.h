// # Threads
//
// A fixed team of threads that run the same function, each with its own number, and wait for one
// another when they have done. Which thread does what follows from its number alone, so the same number
// of threads gives the same bits.
//
// A thread without work spins for some microseconds, in which the next operation of a training
// step usually arrives, then sleeps until it is woken. The calling thread is number 0 of the team.
// No thread keeps the process alive: they are stopped when the last JavaScript environment goes.

#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace convnotes {

/** Memory of one thread that outlives a call, so that it is not paid for each time. */
class Scratch {
 public:
  ~Scratch();
  /** At least `floats` numbers, aligned to a cache line; their values are anything. */
  float* reserve(size_t floats);
  float* data() const { return data_; }

 private:
  float* data_ = nullptr;
  size_t size_ = 0;
};

class Pool {
 public:
  /** Elements for which it is not worth to wake another thread: some ten microseconds of work. */
  static constexpr int64_t GRAIN = 32 * 1024;

  /**
   * Work of fewer than `grain` elements is not shared out; 0 shares out everything.
   * Throws: system_error where the system gives no more threads.
   */
  explicit Pool(int threads, int64_t grain = GRAIN);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  /** Those that take part; `Alone` lets it be one. */
  int threads() const { return taking_; }
  int64_t grain() const { return grain_; }

  /**
   * Runs `body(thread)` on every thread of the team and returns when all have finished; what one
   * of them throws is thrown here.
   */
  template <class Body>
  void run(const Body& body) {
    start([](const void* context, int thread) { (*static_cast<const Body*>(context))(thread); },
          &body);
  }

  /**
   * Gives every thread memory of its own and all of them some to share; called outside of `run`.
   * Throws: bad_alloc.
   */
  void reserve(size_t each, size_t together = 0);
  float* scratch(int thread) const { return scratch_[thread].data(); }
  float* shared() const { return shared_.data(); }

 private:
  using Body = void (*)(const void*, int);
  void start(Body body, const void* context);
  void attempt(int thread);
  void stop();
  void work(int thread);
  /** Waits until every thread of the team is here. */
  void barrier();
  /** Waits until `word` is no longer `old`. */
  void await(std::atomic<uint32_t>& word, uint32_t old);

  friend class Alone;

  const int threads_;
  const int64_t grain_;
  int taking_;
  std::vector<std::thread> workers_;
  std::unique_ptr<Scratch[]> scratch_;
  Scratch shared_;

  Body body_ = nullptr;
  const void* context_ = nullptr;
  std::exception_ptr failure_;
  std::atomic<bool> stopping_{false};
  /** Counts what was started; a worker waits for it to move. */
  alignas(64) std::atomic<uint32_t> started_{0};
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<uint32_t> phase_{0};
  /** Threads that sleep; nobody is woken while it is 0. */
  alignas(64) std::atomic<int> asleep_{0};
  std::mutex mutex_;
  std::condition_variable wake_;
};

/** While it lives, work of few multiply-adds is done by the calling thread alone. */
class Alone {
 public:
  Alone(Pool& pool, double multiplyAdds) : pool_(pool) {
    // A tile does some sixteen in the time that an element takes in memory.
    if (multiplyAdds < 16 * static_cast<double>(pool.grain_)) pool.taking_ = 1;
  }
  ~Alone() { pool_.taking_ = pool_.threads_; }
  Alone(const Alone&) = delete;
  Alone& operator=(const Alone&) = delete;

 private:
  Pool& pool_;
};

/** The part of `count` things that belongs to `part` of `parts`: from `begin` up to `end`. */
struct Range {
  int64_t begin, end;
};
inline Range share(int64_t count, int64_t part, int64_t parts) {
  return {count * part / parts, count * (part + 1) / parts};
}

}  // namespace convnotes
