// # The check build's judgement
//
// Two accesses to the same bytes, one of them a write, must be ordered, or they race; whether a
// given schedule shows it does not matter. What orders accesses of one block are barriers: of the
// whole block, which begin a new epoch, and of some threads or a warp, at which each learns what
// the others knew. So every thread has a clock: of each agent, the time up to which its accesses
// lie before this thread's next. Shuffles and votes order nothing, as on a GPU. Blocks of one
// launch are never ordered; launches are.
//
// What happens asynchronously has agents of its own, which are heard of by waiting for them. And
// what TMA or wgmma touch goes another way to shared memory than ordinary stores: after those, a
// fence must stand, so the last fence of each thread is heard of like an agent's time.
//
// Where a cell of memory has one reader its access is kept, where it has several all of them are:
// the method of Flanagan and Freund, FastTrack, 2009, with epochs that barriers make almost free.

#include <link.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <tuple>

#include "machine.h"
#include "shadow.h"

namespace emulated {

namespace {

// ## Agents

constexpr unsigned firstOfThreads = maxTensorAgents + maxTransactionBarriers;
constexpr unsigned kindsOfThread = 3;
constexpr unsigned agents = firstOfThreads + kindsOfThread * maxThreads;

Agent tensorAgent(unsigned warpgroup) { return Agent(warpgroup); }
Agent bulkAgent(unsigned barrier) { return Agent(maxTensorAgents + barrier); }
Agent threadAgent(unsigned thread) { return Agent(firstOfThreads + kindsOfThread * thread); }
Agent copyAgent(unsigned thread) { return Agent(threadAgent(thread) + 1); }
Agent fenceAgent(unsigned thread) { return Agent(threadAgent(thread) + 2); }

bool isThread(Agent agent) {
  return agent >= firstOfThreads && (agent - firstOfThreads) % kindsOfThread == 0;
}
bool isCopy(Agent agent) {
  return agent >= firstOfThreads && (agent - firstOfThreads) % kindsOfThread == 1;
}
unsigned threadOf(Agent agent) { return (agent - firstOfThreads) / kindsOfThread; }

// ## Clocks

}  // namespace

/** What a thread knows of agents, besides what all knew at the last barrier of the block. */
struct Clock {
  uint32_t epoch = 0;
  /** Its own time. */
  uint32_t now = 1;
  /** Agents from `low` to `high` may have been heard of; of others `known` holds 0. */
  unsigned low = 0, high = 0;
  std::vector<uint32_t> known;
};

namespace {

uint32_t epoch = 1;
uint32_t firstSerial = 1;
std::vector<Clock> clocks;
/** Of agents that are no threads, what all knew at the last barrier of the block. */
std::vector<uint32_t> knownToAll;
/** What those knew who arrived at a barrier in shared memory: in this phase, and in those that ended. */
struct Arrivals {
  Clock now, ended;
};
std::vector<Arrivals> arrivals;
/** Lists of readers; those from `usedLists` on are kept to be used again. */
std::vector<std::vector<Access>> readerLists;
size_t usedLists = 0;
std::unique_ptr<Shadow> sharedShadow;

void forget(Clock& clock) {
  std::fill(clock.known.begin() + clock.low, clock.known.begin() + clock.high, 0);
  clock.low = clock.high = 0;
}

/** As it is when a block begins. */
void clear(Clock& clock) {
  clock.known.resize(agents);
  forget(clock);
  clock.now = 1;
}

Clock& clockOf(const Thread& thread) {
  Clock& clock = clocks[thread.index];
  if (clock.epoch != epoch) {
    forget(clock);
    clock.epoch = epoch;
  }
  return clock;
}

void learn(Clock& clock, unsigned agent, uint32_t time) {
  clock.known[agent] = std::max(clock.known[agent], time);
  if (clock.low == clock.high) {
    clock.low = agent;
    clock.high = agent + 1;
  } else {
    clock.low = std::min(clock.low, agent);
    clock.high = std::max(clock.high, agent + 1);
  }
}

/** What one knows who knows what `other` knows, too. */
void learnAll(Clock& clock, const Clock& other) {
  for (unsigned agent = other.low; agent < other.high; agent++)
    if (other.known[agent]) learn(clock, agent, other.known[agent]);
}

/** Who accesses memory now: by a clock, and for a thread itself what it needs not hear of. */
struct Observer {
  const Clock& clock;
  const Thread* self;
};

/** Whether the access, of this block, lies before the observer's next one. */
bool isBefore(const Access& access, const Observer& observer) {
  const auto& [clock, self] = observer;
  if (clock.known[access.agent] >= access.time) return true;
  if (isThread(access.agent))
    return access.epoch < epoch || (self && threadOf(access.agent) == self->index);
  if (knownToAll[access.agent] >= access.time) return true;
  return self && isCopy(access.agent) && threadOf(access.agent) == self->index &&
         self->landed >= access.time;
}

// ## Where in the source

constexpr Origin isSite = Origin{1} << 63;
std::vector<Site> sites;
std::map<std::tuple<const char*, const char*, int>, Origin> siteNumbers;

Origin originOf(const void* code, Site site) {
  if (code) return reinterpret_cast<Origin>(code);
  const auto [found, isNew] = siteNumbers.try_emplace({site.what, site.file, site.line}, 0);
  if (isNew) {
    found->second = isSite | sites.size();
    sites.push_back(site);
  }
  return found->second;
}

std::string sourceOf(Origin origin) {
  if (!(origin & isSite)) return at(reinterpret_cast<const void*>(origin));
  const Site& site = sites[origin & ~isSite];
  return std::string(" in ") + site.what + at(site);
}

std::string nameOf(Agent agent) {
  if (agent < maxTensorAgents) return format("a product of warpgroup %u", agent);
  if (agent < firstOfThreads) return "an asynchronous load";
  const dim3 size = block.launch->block;
  const unsigned i = threadOf(agent);
  return (isCopy(agent) ? "a copy of thread " : "thread ") +
         coordinates({i % size.x, i / size.x % size.y, i / size.x / size.y});
}

/** "thread (1, 0, 0) wrote at a.cu:4" */
std::string deed(const Access& access, const char* verb) {
  std::string who = nameOf(access.agent);
  if (access.serial != block.serial) who += " of another block";
  return who + " " + verb + sourceOf(access.origin);
}

// ## Judging one cell

struct Now {
  Observer observer;
  Access access;
  bool isWrite;
  /** Accesses of earlier blocks than this one's are forgotten. */
  uint32_t since;
  std::string (*describe)(const void* p);
};

/** "writes byte 4 of a shared variable of 512 bytes at a.cu:7" */
std::string deed(const Now& now, const void* p) {
  const char* verb = now.access.isAtomic ? "changes " : now.isWrite ? "writes " : "reads ";
  const std::string who = isThread(now.access.agent) ? "" : nameOf(now.access.agent) + " ";
  return who + verb + now.describe(p) +
         sourceOf(now.access.origin);
}

[[noreturn]] void failRace(const Now& now, const void* p, const Access& other, const char* verb) {
  const char* why = ", with no barrier between";
  if (other.serial != block.serial)
    why = "; nothing orders the blocks of a launch";
  else if (!isThread(other.agent))
    why = "; a wait for that, or a barrier after the wait, is missing";
  fail("race: " + deed(now, p) + ", which " + deed(other, verb) + why);
}

bool conflicts(const Now& now, const Access& earlier) {
  if (earlier.serial < now.since) return false;
  if (earlier.isAtomic && now.access.isAtomic) return false;
  return earlier.serial != block.serial || !isBefore(earlier, now.observer);
}

// Once a cell has a list, its last entry is the latest read. What lies before a read need not be
// kept: a write that comes after that read comes after those, too.
void recordRead(const Now& now, Cell& cell) {
  Access& last = cell.read;
  // A read by another block of the launch already forbids every write that may still come.
  if (last.serial >= now.since && last.serial != block.serial) return;
  if (last.serial != block.serial) {
    cell.readers = 0;
    last = now.access;
    return;
  }
  if (cell.readers == 0) {
    if (last.agent != now.access.agent && !isBefore(last, now.observer)) {
      if (usedLists == readerLists.size()) readerLists.emplace_back();
      readerLists[usedLists] = {last, now.access};
      cell.readers = uint32_t(++usedLists);
    }
    last = now.access;
    return;
  }
  auto& readers = readerLists[cell.readers - 1];
  if (last.epoch != epoch)
    std::erase_if(readers, [&](const Access& reader) { return isBefore(reader, now.observer); });
  if (last.agent == now.access.agent && last.epoch == epoch)
    readers.back() = now.access;
  else
    readers.push_back(now.access);
  last = now.access;
}

void judge(const Now& now, Cell& cell, const void* p) {
  if (conflicts(now, cell.write))
    failRace(now, p, cell.write, cell.write.isAtomic ? "changed" : "wrote");
  if (!now.isWrite) return recordRead(now, cell);
  if (conflicts(now, cell.read)) failRace(now, p, cell.read, "read");
  if (cell.readers && cell.read.serial == block.serial)
    for (const Access& reader : readerLists[cell.readers - 1])
      if (conflicts(now, reader)) failRace(now, p, reader, "read");
  cell.write = now.access;
  cell.read = {};
  cell.readers = 0;
}

// ## Memory of a block

const SharedVariable* variableAt(size_t offset) {
  for (const SharedVariable& v : block.variables)
    if (offset >= v.offset && offset < v.offset + v.bytes + 16) return &v;
  return nullptr;
}

std::string describeShared(const void* p) {
  const size_t offset = size_t(static_cast<const char*>(p) - arena);
  if (const SharedVariable* v = variableAt(offset))
    return format("byte %zu of a shared variable of %zu bytes", offset - v->offset, v->bytes);
  return format("byte %td of the %zu bytes of dynamic shared memory",
                ptrdiff_t(offset) - ptrdiff_t(sharedStart), block.launch->sharedBytes);
}

void accessShared(const Now& now, const char* p, size_t bytes) {
  const size_t offset = size_t(p - arena), end = offset + bytes;
  bool inside = offset >= sharedStart && end <= sharedStart + block.launch->sharedBytes;
  if (!inside)
    if (const SharedVariable* v = variableAt(offset)) inside = end <= v->offset + v->bytes;
  if (!inside) fail("out of bounds: " + deed(now, p));
  sharedShadow->forCells(offset, bytes, [&](Cell& cell, size_t where) {
    const bool reads = !now.isWrite || now.access.isAtomic;
    if (reads && cell.write.serial != block.serial)
      fail(deed(now, arena + where) + ", which nothing has written");
    judge(now, cell, arena + where);
  });
}

// ## Memory of the device

/** The allocation that was met last; kernels go back and forth between a few. */
Allocation* recent[8];
size_t nextRecent = 0;

Allocation* findAllocation(const char* p) {
  for (Allocation* a : recent)
    if (a && p >= a->pages && p < a->pages + a->span) return a;
  Allocation* a = allocationOf(p);
  if (a) recent[nextRecent++ % std::size(recent)] = a;
  return a;
}

void accessDevice(const Now& now, Allocation& a, const char* p, size_t bytes) {
  if (!a.live || p < a.start || p + bytes > a.start + a.bytes)
    fail("out of bounds: " + deed(now, p));
  const size_t offset = size_t(p - a.start);
  for (size_t i = offset; i < offset + bytes; i++) {
    if ((!now.isWrite || now.access.isAtomic) && !a.written[i])
      fail(deed(now, a.start + i) + ", which nothing has written");
    if (now.isWrite) a.written[i] = true;
  }
  if (!a.shadow) a.shadow = std::make_unique<Shadow>(a.bytes);
  a.shadow->forCells(offset, bytes,
                     [&](Cell& cell, size_t where) { judge(now, cell, a.start + where); });
}

// ## Anything else
//
// A kernel may read its coordinates, its arguments and constants of the program.

bool within(const char* p, size_t bytes, const void* start, size_t size) {
  const char* low = static_cast<const char*>(start);
  return p >= low && p + bytes <= low + size;
}

bool isOfProgram(const char* p, size_t bytes) {
  struct Question {
    const char* p;
    size_t bytes;
  } question{p, bytes};
  return dl_iterate_phdr(
             [](dl_phdr_info* image, size_t, void* asked) {
               const auto& [p, bytes] = *static_cast<Question*>(asked);
               for (int i = 0; i < image->dlpi_phnum; i++) {
                 const auto& part = image->dlpi_phdr[i];
                 if (part.p_type == PT_LOAD &&
                     within(p, bytes, reinterpret_cast<void*>(image->dlpi_addr + part.p_vaddr),
                            part.p_memsz))
                   return 1;
               }
               return 0;
             },
             &question) == 1;
}

void accessHost(const Now& now, const char* p, size_t bytes) {
  const Body& body = block.launch->body;
  if (!now.isWrite &&
      (within(p, bytes, &place, sizeof place) ||
       within(p, bytes, body.arguments, body.bytes) || isOfProgram(p, bytes)))
    return;
  fail(deed(now, p));
}

void access(Thread& thread, const void* where, size_t bytes, bool isWrite, bool isAtomic,
            Origin origin) {
  const char* p = static_cast<const char*>(where);
  const Clock& clock = clockOf(thread);
  const Access made{origin,   block.serial, epoch, clock.now, threadAgent(thread.index),
                    isAtomic};
  // Most reads of the host's memory are a kernel's looking at its coordinates.
  if (!isWrite && within(p, bytes, place, sizeof(Place))) return;
  if (within(p, 1, arena, arenaBytes))
    return accessShared({{clock, &thread}, made, isWrite, block.serial, describeShared}, p, bytes);
  const Observer observer{clock, &thread};
  if (Allocation* a = findAllocation(p))
    return accessDevice({observer, made, isWrite, firstSerial, whereInMemory}, *a, p, bytes);
  accessHost({observer, made, isWrite, 0, whereInMemory}, p, bytes);
}

}  // namespace

// ## What the rest of the device tells

std::string whereIs(const void* p) {
  return within(static_cast<const char*>(p), 1, arena, arenaBytes) ? describeShared(p)
                                                                   : whereInMemory(p);
}

void checkLaunch() { firstSerial = block.serial + 1; }

void checkBlock() {
  epoch++;
  if (clocks.size() < block.threads.size()) clocks.resize(block.threads.size());
  for (Clock& clock : clocks) clear(clock);
  knownToAll.assign(agents, 0);
  arrivals.clear();
  usedLists = 0;
  std::fill(std::begin(recent), std::end(recent), nullptr);
  if (!sharedShadow) sharedShadow = std::make_unique<Shadow>(arenaBytes);
}

void checkAccess(Thread& thread, const void* p, size_t bytes, bool isWrite, const void* code,
                 Site site) {
  access(thread, p, bytes, isWrite, false, originOf(code, site));
}

void checkAtomic(Thread& thread, const void* p, size_t bytes, Site site) {
  access(thread, p, bytes, true, true, originOf(nullptr, site));
}

void checkCopy(Thread& thread, const void* p, size_t bytes, Site site) {
  const Access made{originOf(nullptr, site), block.serial, epoch, thread.committed + 1,
                    copyAgent(thread.index), false};
  accessShared({{clockOf(thread), &thread}, made, true, block.serial, describeShared},
               static_cast<const char*>(p), bytes);
}

// ## Meetings

namespace {

/** What the thread lets others know: what it knows, and what it did. */
void tell(const Thread& thread, Clock& to) {
  Clock& clock = clockOf(thread);
  learnAll(to, clock);
  learn(to, threadAgent(thread.index), clock.now++);
  learn(to, copyAgent(thread.index), thread.landed);
}

}  // namespace

void checkMeeting(Thread* const* threads, size_t count) {
  static Clock together;
  clear(together);
  for (size_t i = 0; i < count; i++) tell(*threads[i], together);
  for (size_t i = 0; i < count; i++) learnAll(clockOf(*threads[i]), together);
}

void checkBarrier() {
  const auto known = [](Agent agent, uint32_t time) {
    knownToAll[agent] = std::max(knownToAll[agent], time);
  };
  for (const Thread& thread : block.threads) {
    if (thread.state == State::done) continue;
    const Clock& clock = clockOf(thread);
    known(copyAgent(thread.index), thread.landed);
    for (unsigned agent = clock.low; agent < clock.high; agent++)
      if (!isThread(Agent(agent))) known(Agent(agent), clock.known[agent]);
  }
  epoch++;
}

// ## TMA and wgmma

void checkBarrierInit(unsigned barrier) {
  if (arrivals.size() <= barrier) arrivals.resize(barrier + 1);
  clear(arrivals[barrier].now);
  clear(arrivals[barrier].ended);
}

void checkArrival(Thread& thread, unsigned barrier) { tell(thread, arrivals[barrier].now); }

void checkPhaseEnd(unsigned barrier) {
  learnAll(arrivals[barrier].ended, arrivals[barrier].now);
  forget(arrivals[barrier].now);
}

void checkPhaseSeen(Thread& thread, unsigned barrier, uint32_t phases) {
  Clock& clock = clockOf(thread);
  learnAll(clock, arrivals[barrier].ended);
  learn(clock, bulkAgent(barrier), phases);
}

void checkFence(Thread& thread) {
  Clock& clock = clockOf(thread);
  learn(clock, fenceAgent(thread.index), clock.now++);
}

void checkLocal(const Thread& thread, const void* p, bool isWrite, const void* code) {
  for (const Accumulators& a : thread.accumulators) {
    if (p >= a.sums && p < a.sums + a.count)
      fail("uses the accumulators of a product" + at(code) + " before it has waited for it");
    if (isWrite && a.fragment && p >= a.fragment && p < a.fragment + 4)
      fail("writes over a factor of a product" + at(code) + " before it has waited for it");
  }
}

void checkTensorLanded(Thread& thread, unsigned warpgroup, uint32_t products) {
  learn(clockOf(thread), tensorAgent(warpgroup), products);
}

void checkBulkWrite(Thread& thread, const void* p, size_t bytes, unsigned barrier, uint32_t phase,
                    Site site) {
  const Access made{originOf(nullptr, site), block.serial, epoch, phase + 1, bulkAgent(barrier),
                    false};
  accessShared({{clockOf(thread), &thread}, made, true, block.serial, describeShared},
               static_cast<const char*>(p), bytes);
}

// A warpgroup's product knows what all of its threads know.
void checkTensorReads(Thread* const* threads, size_t count, const std::vector<TensorRead>& reads,
                      unsigned warpgroup, uint32_t product, Site site) {
  static Clock common, each;
  for (size_t i = 0; i < count; i++) {
    clear(each);
    const Clock& clock = clockOf(*threads[i]);
    learnAll(each, clock);
    learn(each, threadAgent(threads[i]->index), clock.now);
    if (i == 0) {
      clear(common);
      learnAll(common, each);
    } else {
      for (unsigned agent = common.low; agent < common.high; agent++)
        common.known[agent] = std::min(common.known[agent], each.known[agent]);
    }
  }
  const Access made{originOf(nullptr, site), block.serial, epoch, product, tensorAgent(warpgroup),
                    false};
  const Now now{{common, nullptr}, made, false, block.serial, describeShared};
  for (const auto& [p, bytes] : reads) {
    accessShared(now, p, bytes);
    sharedShadow->forCells(size_t(p - arena), bytes, [&](Cell& cell, size_t where) {
      if (!isThread(cell.write.agent)) return;
      const Agent fence = fenceAgent(threadOf(cell.write.agent));
      if (knownToAll[fence] < cell.write.time && common.known[fence] < cell.write.time)
        fail(deed(now, arena + where) + ", which " + deed(cell.write, "wrote") +
             " by an ordinary store; a fence_proxy_async after it is missing");
    });
  }
}

}  // namespace emulated
