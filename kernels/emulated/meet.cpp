// # Where threads meet
//
// Barriers of a block, operations of a warp, and atomics. A thread that comes to a meeting waits
// until all are there; the last one acts for all. Threads that have returned are not waited for, as
// on a GPU from sm_70 on. Threads that meet in two different places are reported: for warps it is
// undefined what then happens, for __syncthreads it is a sign that some took another way. Named
// barriers are for meeting in different places; their threads must agree how many they are.

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>

#include "machine.h"
#include "meet.h"

namespace emulated {

namespace {

bool samePlace(Site a, Site b) {
  return a.line == b.line && (a.file == b.file || strcmp(a.file, b.file) == 0);
}

// ## Barriers

void open(Barrier& barrier, const Thread* except) {
  if constexpr (checking) {
    if (barrier.expected == block.live)
      checkBarrier();
    else
      checkMeeting(barrier.waiting.data(), barrier.waiting.size());
  }
  for (int* result : barrier.results)
    if (result) *result = barrier.result;
  const std::vector<Thread*> released = std::move(barrier.waiting);
  barrier = {};
  for (Thread* thread : released)
    if (thread != except) makeReady(*thread);
}

/** `threads` is 0 for all that have not returned. */
void arrive(unsigned number, unsigned threads, Vote vote, int predicate, int* result, Site site) {
  Thread& me = *self();
  Barrier& barrier = block.barriers[number];
  if (barrier.arrived == 0) {
    barrier.vote = vote;
    barrier.site = site;
    barrier.result = vote == Vote::all;
  } else if (threads ? barrier.expected != threads : !samePlace(barrier.site, site)) {
    fail(format("came to %s%s while others wait in %s%s", site.what, at(site).c_str(),
                barrier.site.what, at(barrier.site).c_str()));
  }
  barrier.expected = threads ? threads : block.live;
  if (vote == Vote::count) barrier.result += predicate != 0;
  if (vote == Vote::all) barrier.result &= predicate != 0;
  if (vote == Vote::any) barrier.result |= predicate != 0;
  barrier.waiting.push_back(&me);
  barrier.results.push_back(result);
  if (++barrier.arrived < barrier.expected) return wait(me, site);
  open(barrier, &me);
  perhapsYield(me);
}

}  // namespace

int syncBlock(Vote vote, int predicate, Site site) {
  int result = 0;
  arrive(0, 0, vote, predicate, &result, site);
  return result;
}

void syncNamed(int barrier, int threads, Site site) {
  if (barrier < 0 || barrier > 15)
    fail(format("bar.sync%s names barrier %d; there are 0 to 15", at(site).c_str(), barrier));
  if (threads <= 0 || threads % 32 != 0)
    fail(format("bar.sync%s is for %d threads, which are no whole warps", at(site).c_str(), threads));
  arrive(unsigned(barrier), unsigned(threads), Vote::none, 0, nullptr, site);
}

// ## Warps
//
// Lanes that name the same mask meet. Those of a smaller mask may be on their way to a meeting of
// all, where the others already wait.

namespace {

Meeting& meetingOf(Warp& warp, uint32_t mask) {
  Meeting* unused = nullptr;
  for (Meeting& meeting : warp.meetings) {
    if (meeting.arrived && meeting.mask == mask) return meeting;
    if (!meeting.arrived && !unused) unused = &meeting;
  }
  // There are as many as lanes, and this one waits nowhere yet.
  return *unused;
}

void finish(Meeting& meeting, Warp& warp, const Thread* except) {
  meeting.act(meeting, warp);
  const uint32_t arrived = meeting.arrived;
  meeting.mask = meeting.arrived = 0;
  for (int lane = 0; lane < 32; lane++)
    if (arrived >> lane & 1 && warp.lanes[lane] != except) makeReady(*warp.lanes[lane]);
}

}  // namespace

void meet(uint32_t mask, Operation operation, void* operand, void (*act)(Meeting&, Warp&),
          Site site) {
  Thread& me = *self();
  Warp& warp = *me.warp;
  if (!(mask >> me.lane & 1))
    fail(format("%s%s has the mask 0x%08x, in which its own lane %u is not", site.what,
                at(site).c_str(), mask, me.lane));
  if (operation == Operation::matrix && warp.live != 0xffffffff)
    fail(format("%s%s needs all 32 lanes of a warp; here 0x%08x run", site.what, at(site).c_str(),
                warp.live));
  Meeting& meeting = meetingOf(warp, mask);
  if (meeting.arrived == 0) {
    meeting.mask = mask;
    meeting.act = act;
    meeting.kind = int(operation);
    meeting.site = site;
  } else if (!samePlace(meeting.site, site) || meeting.kind != int(operation)) {
    fail(format("came to %s%s while other lanes of its warp wait in %s%s, all for the mask 0x%08x",
                site.what, at(site).c_str(), meeting.site.what, at(meeting.site).c_str(), mask));
  }
  meeting.operand[me.lane] = operand;
  meeting.arrived |= 1u << me.lane;
  if (meeting.arrived != (mask & warp.live)) return wait(me, site);
  finish(meeting, warp, &me);
  perhapsYield(me);
}

void leave(Thread& thread) {
  block.live--;
  Warp& warp = *thread.warp;
  warp.live &= ~(1u << thread.lane);
  // Copies that were committed land, waited for or not.
  landCopies(thread, 0);
  Barrier& all = block.barriers[0];
  if (all.arrived > 0 && all.arrived == block.live) {
    all.expected = block.live;
    open(all, nullptr);
  }
  for (Meeting& meeting : warp.meetings)
    if (meeting.arrived && meeting.arrived == (meeting.mask & warp.live))
      finish(meeting, warp, nullptr);
}

void syncWarp(uint32_t mask, Site site) {
  meet(mask, Operation::sync, nullptr,
       [](Meeting& meeting, Warp& warp) {
         if constexpr (!checking) return;
         Thread* met[32];
         size_t count = 0;
         for (int lane = 0; lane < 32; lane++)
           if (meeting.arrived >> lane & 1) met[count++] = warp.lanes[lane];
         checkMeeting(met, count);
       },
       site);
}

namespace {

template <class Operand, class Act>
void forLanes(Meeting& meeting, Act act) {
  for (int lane = 0; lane < 32; lane++)
    if (meeting.arrived >> lane & 1) act(lane, *static_cast<Operand*>(meeting.operand[lane]));
}

struct Shuffled {
  Shuffle kind;
  int operand, width;
  uint64_t value, result;
};
struct Ballot {
  int predicate;
  uint32_t result;
};
struct Reduced {
  Reduction kind;
  bool isSigned;
  uint32_t value, result;
};

}  // namespace

// A lane that would read beyond its segment keeps its own number. A lane that is not there gives
// nothing one may count on: all ones.
uint64_t shuffle(Shuffle kind, uint32_t mask, uint64_t value, int operand, int width, Site site) {
  if (width < 1 || width > 32 || !std::has_single_bit(unsigned(width)))
    fail(format("%s%s has width %d, which is no power of two up to 32", site.what, at(site).c_str(),
                width));
  Shuffled mine{kind, operand, width, value, 0};
  meet(mask, Operation::shuffle, &mine,
       [](Meeting& meeting, Warp&) {
         forLanes<Shuffled>(meeting, [&](int lane, Shuffled& x) {
           const int start = lane & ~(x.width - 1), within = lane - start;
           int source = lane;
           switch (x.kind) {
             case Shuffle::index: source = start + (x.operand & (x.width - 1)); break;
             case Shuffle::up: if (within >= x.operand) source = lane - x.operand; break;
             case Shuffle::down: if (within + x.operand < x.width) source = lane + x.operand; break;
             case Shuffle::exclusiveOr:
               if ((lane ^ x.operand) < start + x.width) source = lane ^ x.operand;
               break;
           }
           const bool there = meeting.arrived >> source & 1;
           x.result = there ? static_cast<Shuffled*>(meeting.operand[source])->value : ~uint64_t{0};
         });
       },
       site);
  return mine.result;
}

uint32_t ballot(uint32_t mask, int predicate, Site site) {
  Ballot mine{predicate, 0};
  meet(mask, Operation::ballot, &mine,
       [](Meeting& meeting, Warp&) {
         uint32_t votes = 0;
         forLanes<Ballot>(meeting, [&](int lane, Ballot& x) {
           if (x.predicate) votes |= 1u << lane;
         });
         forLanes<Ballot>(meeting, [&](int, Ballot& x) { x.result = votes; });
       },
       site);
  return mine.result;
}

namespace {

uint32_t combine(Reduction kind, bool isSigned, uint32_t a, uint32_t b) {
  const bool less = isSigned ? int32_t(a) < int32_t(b) : a < b;
  switch (kind) {
    case Reduction::add: return a + b;
    case Reduction::min: return less ? a : b;
    case Reduction::max: return less ? b : a;
    case Reduction::bitAnd: return a & b;
    case Reduction::bitOr: return a | b;
    default: return a ^ b;
  }
}

}  // namespace

uint32_t reduce(Reduction kind, uint32_t mask, uint32_t value, bool isSigned, Site site) {
  needsArchitecture(800, site);
  Reduced mine{kind, isSigned, value, 0};
  meet(mask, Operation::reduce, &mine,
       [](Meeting& meeting, Warp&) {
         bool first = true;
         uint32_t result = 0;
         forLanes<Reduced>(meeting, [&](int, Reduced& x) {
           result = first ? x.value : combine(x.kind, x.isSigned, result, x.value);
           first = false;
         });
         forLanes<Reduced>(meeting, [&](int, Reduced& x) { x.result = result; });
       },
       site);
  return mine.result;
}

// ## Atomics

namespace {

template <class T>
T apply(Atomic kind, T* where, T operand, T compare) {
  const T old = *where;
  switch (kind) {
    // What runs over wraps around.
    case Atomic::add: *where = T(uint64_t(old) + uint64_t(operand)); break;
    case Atomic::min: *where = std::min(old, operand); break;
    case Atomic::max: *where = std::max(old, operand); break;
    case Atomic::exchange: *where = operand; break;
    case Atomic::compareAndSwap: if (old == compare) *where = operand; break;
    case Atomic::bitAnd: *where = old & operand; break;
    case Atomic::bitOr: *where = old | operand; break;
  }
  return old;
}

}  // namespace

uint64_t atomic(Atomic kind, void* where, int bytes, bool isSigned, uint64_t operand,
                uint64_t compare, Site site) {
  Thread& me = *self();
  if (reinterpret_cast<uintptr_t>(where) % unsigned(bytes) != 0)
    fail(format("%s%s: the address is no multiple of %d", site.what, at(site).c_str(), bytes));
  if constexpr (checking) checkAtomic(me, where, size_t(bytes), site);
  // Who comes first among threads is chance, so it is drawn.
  perhapsYield(me);
  if (bytes == 8)
    return apply(kind, static_cast<uint64_t*>(where), operand, compare);
  if (isSigned)
    return uint32_t(apply(kind, static_cast<int32_t*>(where), int32_t(operand), int32_t(compare)));
  return apply(kind, static_cast<uint32_t*>(where), uint32_t(operand), uint32_t(compare));
}

}  // namespace emulated
