// # Inside the emulated device
//
// What its parts share. fibers.cpp switches stacks, memory.cpp holds device memory, schedule.cpp
// runs blocks and says who runs next, meet.cpp lets threads meet in barriers and warp operations,
// instructions.cpp multiplies matrices and copies asynchronously, hopper.cpp has what sm_90 adds,
// streams.cpp keeps what is put into streams, check.cpp judges each access in the check build.

#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "device.h"

#ifndef EMULATED_CHECK
#define EMULATED_CHECK 0
#endif

namespace emulated {

constexpr bool checking = EMULATED_CHECK;

// ## Sizes

constexpr unsigned maxThreads = 1024;
constexpr size_t pageBytes = 4096;
constexpr size_t stackBytes = 128 * 1024;
constexpr size_t staticLimit = 48 * 1024;
constexpr unsigned warpgroupThreads = 128;
constexpr unsigned maxTensorAgents = maxThreads / warpgroupThreads;
constexpr unsigned maxTransactionBarriers = 56;
/** Bytes before the dynamic shared memory, so that an address below it is not valid; its alignment. */
constexpr size_t sharedStart = 1024;
/** Room for all that a block can have, static and dynamic, and for gaps between variables. */
constexpr size_t arenaBytes = 512 * 1024;
/** What lies around memory, to see whether somebody wrote there. */
constexpr unsigned char fence = 0xcb;
/** What memory holds that nothing wrote: all ones, a NaN as float and as bf16. */
constexpr unsigned char poison = 0xff;

// ## Words

[[gnu::format(printf, 1, 2)]] std::string format(const char* pattern, ...);
std::string coordinates(uint3 of);
/** " at conv2d.cu:42", without the folder. */
std::string at(Site site);
/** The same of an address in code, when debug information tells. */
std::string at(const void* code);

// ## Fibers: stacks to switch between

struct Fiber {
  void* stackPointer = nullptr;
  char* stack = nullptr;
};
void switchTo(Fiber& from, Fiber& to);
/** Makes the fiber begin in `main` when it is next switched to. */
void prepare(Fiber& fiber, void (*main)());
/** Address space for stacks; each has a page before it that nobody may touch. */
char* reserveStacks();

/** Whether the address is on a fiber's stack. */
bool isLocal(const void* p);

// ## A block and its threads

struct Copy {
  void* to;
  const void* from;
  int bytes, valid;
  Site site;
};

/** A thread's part of the sums of a product that it has not waited for, and of A, if that is there. */
struct Accumulators {
  const float* sums;
  int count;
  const uint32_t* fragment;
  uint32_t product;
};

struct Warp;

enum class State : uint8_t { fresh, ready, running, waiting, done };

struct Thread : Place {
  unsigned index = 0, lane = 0;
  Warp* warp = nullptr;
  Fiber* fiber = nullptr;
  State state = State::fresh;
  /** Where it waits. */
  Site site{};
  /** Copies that are in no group yet, which of them were put off, and the groups. */
  bool hasOpenCopies = false;
  std::vector<Copy> openCopies;
  std::deque<std::vector<Copy>> copyGroups;
  /** Groups of copies that were committed, and that were waited for. */
  uint32_t committed = 0, landed = 0;
  std::vector<Accumulators> accumulators;
  /** Products of its warpgroup: how many it has begun, and how many at the end of each group. */
  uint32_t products = 0;
  std::vector<uint32_t> productGroups;
  /** Whether the accumulators may be handed to the tensor cores. */
  bool mayMultiply = false;
};

/** Lanes on their way to one operation of a warp. */
struct Meeting {
  uint32_t mask = 0, arrived = 0;
  int kind = 0;
  void (*act)(Meeting&, Warp&) = nullptr;
  void* operand[32];
  Site site{};
};
struct Warp {
  uint32_t live = 0;
  Thread* lanes[32] = {};
  // Several groups of lanes may meet at once.
  Meeting meetings[32];
};

struct Barrier {
  unsigned arrived = 0, expected = 0;
  Vote vote = Vote::none;
  int result = 0;
  std::vector<Thread*> waiting;
  std::vector<int*> results;
  Site site{};
};

struct SharedVariable {
  const void* key;
  size_t offset, bytes;
};

struct Launch {
  std::string name;
  dim3 grid, block;
  size_t sharedBytes;
  const Body& body;
  int architecture;
  unsigned threads;
  std::string error;
};

struct Block {
  Launch* launch = nullptr;
  uint3 index{};
  /** Counts all blocks that ever ran: accesses of one block have one serial. */
  uint32_t serial = 0;
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  unsigned live = 0;
  Barrier barriers[16];
  // Those who can run: some never ran, some did. Both are taken from `head` on.
  struct Queue {
    std::vector<Thread*> threads;
    size_t head = 0;
    size_t size() const { return threads.size() - head; }
    void clear() { threads.clear(), head = 0; }
  } fresh, ready;
  std::vector<SharedVariable> variables;
  size_t staticStart = 0, staticEnd = 0;
  uint64_t random = 1;
  /** The operation that touches memory for a thread, to be named when that faults. */
  Site busyWith{};
};

/** The block that runs, and its shared memory: there is one at a time. */
extern Block block;
extern char* arena;
/** The thread that runs; nullptr outside kernels. */
inline Thread* self() { return static_cast<Thread*>(const_cast<Place*>(place)); }

std::string name(const Thread& thread);
/** Ends the launch with a message about the thread that runs. */
[[noreturn]] void fail(const std::string& message);

// ## Scheduling

uint64_t nextRandom(uint64_t& state);
uint64_t scramble(uint64_t x);
/** A number below n, for the block that runs. */
uint32_t draw(uint32_t n);
/** Whether an asynchronous operation is put off. */
bool putOff();

void makeReady(Thread& thread);
/** Lets others run until somebody makes this thread ready. */
void wait(Thread& thread, Site site);
/** In random order, sometimes lets others go first. */
void perhapsYield(Thread& thread);
/** Runs all blocks; the message is the launch's. */
void run(Launch& launch);
/** What a thread that has returned means for those who wait for it. */
void leave(Thread& thread);

// What waits for its time in hopper.cpp: TMA loads, products.
void resetHopper();
bool hasPendingLoads();
/** Lets one load land, any or the oldest. */
void landOneLoad();

size_t sharedLimit(int architecture);
void needsArchitecture(int architecture, Site site);

// ## Device memory

struct Shadow;
struct Allocation {
  char* start;
  size_t bytes;
  /** All pages, with those before and after that nobody may touch. */
  char* pages;
  size_t span;
  bool live = true;
  /** Check build: which bytes hold something. */
  std::vector<bool> written;
  std::unique_ptr<Shadow> shadow;

  Allocation(char* start, size_t bytes, char* pages, size_t span);
  ~Allocation();
};
/** nullptr when there is not enough. */
void* claim(size_t bytes);
std::string giveBack(void* memory);
/** The allocation whose pages, or the page around them, hold the address; nullptr if none does. */
Allocation* allocationOf(const void* p);
/** "offset 12 of the allocation of 8 bytes", for messages about wrong addresses. */
std::string whereInMemory(const void* p);
size_t freeMemory();
/** A message when somebody wrote beside an allocation. */
std::string brokenFence();
void markWritten(void* to, size_t bytes);
/** Check build: the first of the bytes that nothing wrote, or nullptr. */
const void* firstUnwritten(const void* from, size_t bytes);

// ## The check build's judgement: does nothing in the plain build

void checkLaunch();
void checkBlock();
/** An access by the running thread, told by the compiler (`code`) or by an operation (`site`). */
void checkAccess(Thread& thread, const void* p, size_t bytes, bool isWrite, const void* code,
                 Site site);
void checkAtomic(Thread& thread, const void* p, size_t bytes, Site site);
/** An asynchronous copy's write to shared memory, which is seen by who waits for the group. */
void checkCopy(Thread& thread, const void* p, size_t bytes, Site site);
/** Where an address is, in shared or device memory. */
std::string whereIs(const void* p);
// A wait for copies needs no word: check.cpp looks at `landed`.
/** What the threads did before is seen by all of them after. */
void checkMeeting(Thread* const* threads, size_t count);
/** The same of all threads of the block that run. */
void checkBarrier();

// What TMA and wgmma do, and what threads hear of them. Barriers in shared memory are numbered.
void checkBarrierInit(unsigned barrier);
void checkArrival(Thread& thread, unsigned barrier);
void checkPhaseEnd(unsigned barrier);
/** The thread has seen that so many phases ended. */
void checkPhaseSeen(Thread& thread, unsigned barrier, uint32_t phases);
void checkFence(Thread& thread);
void checkBulkWrite(Thread& thread, const void* p, size_t bytes, unsigned barrier, uint32_t phase,
                    Site site);
struct TensorRead {
  const char* p;
  size_t bytes;
};
/** The warpgroup's product of that number, counted from 1, reads its operands. */
void checkTensorReads(Thread* const* threads, size_t count, const std::vector<TensorRead>& reads,
                      unsigned warpgroup, uint32_t product, Site site);
/** An access to the thread's own local memory. */
void checkLocal(const Thread& thread, const void* p, bool isWrite, const void* code);
/** The thread has waited for so many products. */
void checkTensorLanded(Thread& thread, unsigned warpgroup, uint32_t products);

}  // namespace emulated
