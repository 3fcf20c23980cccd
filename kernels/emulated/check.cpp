// # The check build's judgement
//
// Two accesses to the same bytes, one of them a write, must be ordered, or they race; whether a given
// schedule shows it does not matter. What orders accesses of one block are barriers: of the whole
// block, which begin a new epoch, and of some threads or a warp, at which each learns what the others
// knew. So every thread has a clock: of each agent, the time up to which its accesses lie before this
// thread's next. Shuffles and votes order nothing, as on a GPU. Blocks of one launch are never
// ordered; launches are.
//
// Where a cell of memory has one reader its access is kept, where it has several all of them are: the
// method of Flanagan and Freund, FastTrack, 2009, with epochs that barriers make almost free.

#include <link.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <tuple>

#include "machine.h"
#include "shadow.h"

namespace emulated {

namespace {

// ## Clocks

Agent threadAgent(unsigned thread) { return Agent(2 * thread); }
Agent copyAgent(unsigned thread) { return Agent(2 * thread + 1); }

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
/** Groups of copies by each thread that everybody knew to have landed at the last barrier. */
std::vector<uint32_t> landedForAll;
std::vector<std::vector<Access>> readerLists;
std::unique_ptr<Shadow> sharedShadow;

void forget(Clock& clock) {
  std::fill(clock.known.begin() + clock.low, clock.known.begin() + clock.high, 0);
  clock.low = clock.high = 0;
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

/** Whether the access, of this block, lies before the thread's next one. */
bool isBefore(const Access& access, const Thread& thread) {
  const unsigned of = access.agent / 2;
  const Clock& clock = clockOf(thread);
  if (access.agent % 2 == 0)
    return access.epoch < epoch || of == thread.index || clock.known[access.agent] >= access.time;
  return landedForAll[of] >= access.time || (of == thread.index && thread.landed >= access.time) ||
         clock.known[access.agent] >= access.time;
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

/** "thread (1, 0, 0) wrote at a.cu:4" */
std::string deed(const Access& access, const char* verb) {
  std::string who = access.agent % 2 ? "a copy of " : "";
  if (access.serial == block.serial) {
    who += name(block.threads[access.agent / 2]);
  } else {
    const uint3 size{block.launch->block.x, block.launch->block.y, block.launch->block.z};
    const unsigned i = access.agent / 2;
    who += "thread " + coordinates({i % size.x, i / size.x % size.y, i / size.x / size.y}) +
           " of another block";
  }
  return who + " " + verb + sourceOf(access.origin);
}

// ## Judging one cell

struct Now {
  Thread& thread;
  Access access;
  bool isWrite;
  /** Accesses of earlier blocks than this one's are forgotten. */
  uint32_t since;
  std::string (*describe)(const void* p);
};

/** "writes byte 4 of a shared variable of 512 bytes at a.cu:7" */
std::string deed(const Now& now, const void* p) {
  const char* verb = now.access.isAtomic ? "changes " : now.isWrite ? "writes " : "reads ";
  return (now.access.agent % 2 ? std::string("a copy ") : "") + verb + now.describe(p) +
         sourceOf(now.access.origin);
}

[[noreturn]] void failRace(const Now& now, const void* p, const Access& other, const char* verb) {
  const char* why = ", with no barrier between";
  if (other.serial != block.serial)
    why = "; nothing orders the blocks of a launch";
  else if (other.agent % 2)
    why = "; a wait for that copy, or a barrier after the wait, is missing";
  fail("race: " + deed(now, p) + ", which " + deed(other, verb) + why);
}

bool conflicts(const Now& now, const Access& earlier) {
  if (earlier.serial < now.since) return false;
  if (earlier.isAtomic && now.access.isAtomic) return false;
  return earlier.serial != block.serial || !isBefore(earlier, now.thread);
}

void recordRead(const Now& now, Cell& cell) {
  Access& last = cell.read;
  // A read by another block of the launch already forbids every write that may still come.
  if (last.serial >= now.since && last.serial != block.serial) return;
  if (last.serial == block.serial && last.epoch == epoch && last.agent != now.access.agent &&
      !isBefore(last, now.thread)) {
    if (cell.readers == 0) {
      readerLists.push_back({last});
      cell.readers = uint32_t(readerLists.size());
    }
    auto& readers = readerLists[cell.readers - 1];
    const auto mine = std::find_if(readers.begin(), readers.end(), [&](const Access& a) {
      return a.agent == now.access.agent;
    });
    if (mine == readers.end())
      readers.push_back(now.access);
    else
      *mine = now.access;
    // The latest stays the one to compare with, so that most reads need not look at the list.
    last = now.access;
    return;
  }
  if (last.serial != block.serial || last.epoch != epoch) cell.readers = 0;
  last = now.access;
  if (cell.readers) {
    auto& readers = readerLists[cell.readers - 1];
    for (Access& a : readers)
      if (a.agent == now.access.agent) a = now.access;
  }
}

void judge(const Now& now, Cell& cell, const void* p) {
  if (conflicts(now, cell.write))
    failRace(now, p, cell.write, cell.write.isAtomic ? "changed" : "wrote");
  if (!now.isWrite) return recordRead(now, cell);
  if (conflicts(now, cell.read)) failRace(now, p, cell.read, "read");
  if (cell.readers && cell.read.serial == block.serial && cell.read.epoch == epoch)
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
  if (!a.live || p < a.start || p + bytes > a.start + a.bytes) fail("out of bounds: " + deed(now, p));
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
  const Access made{origin, block.serial,        epoch, clockOf(thread).now, threadAgent(thread.index),
                    isAtomic};
  // Most reads of the host's memory are a kernel's looking at its coordinates.
  if (!isWrite && within(p, bytes, place, sizeof(Place))) return;
  if (within(p, 1, arena, arenaBytes))
    return accessShared({thread, made, isWrite, block.serial, describeShared}, p, bytes);
  if (Allocation* a = findAllocation(p))
    return accessDevice({thread, made, isWrite, firstSerial, whereInMemory}, *a, p, bytes);
  accessHost({thread, made, isWrite, 0, whereInMemory}, p, bytes);
}

}  // namespace

// ## What the rest of the device tells

std::string whereIs(const void* p) {
  return within(static_cast<const char*>(p), 1, arena, arenaBytes) ? describeShared(p)
                                                                   : whereInMemory(p);
}

void checkLaunch() { firstSerial = block.serial + 1; }

void checkBlock() {
  const size_t threads = block.threads.size();
  epoch++;
  if (clocks.size() < threads) clocks.resize(threads);
  for (size_t i = 0; i < threads; i++) {
    forget(clocks[i]);
    clocks[i].known.resize(2 * maxThreads);
    clocks[i].now = 1;
  }
  landedForAll.assign(threads, 0);
  readerLists.clear();
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
  accessShared({thread, made, true, block.serial, describeShared}, static_cast<const char*>(p),
               bytes);
}

void checkMeeting(Thread* const* threads, size_t count) {
  static Clock together;
  together.known.resize(2 * maxThreads);
  forget(together);
  for (size_t i = 0; i < count; i++) {
    const Thread& thread = *threads[i];
    const Clock& clock = clockOf(thread);
    for (unsigned agent = clock.low; agent < clock.high; agent++)
      learn(together, agent, clock.known[agent]);
    learn(together, threadAgent(thread.index), clock.now);
    learn(together, copyAgent(thread.index), thread.landed);
  }
  for (size_t i = 0; i < count; i++) {
    Clock& clock = clockOf(*threads[i]);
    for (unsigned agent = together.low; agent < together.high; agent++)
      learn(clock, agent, together.known[agent]);
    clock.now++;
  }
}

void checkBarrier() {
  for (const Thread& thread : block.threads) {
    if (thread.state == State::done) continue;
    const Clock& clock = clockOf(thread);
    landedForAll[thread.index] = std::max(landedForAll[thread.index], thread.landed);
    for (unsigned agent = clock.low; agent < clock.high; agent++)
      if (agent % 2)
        landedForAll[agent / 2] = std::max(landedForAll[agent / 2], clock.known[agent]);
  }
  epoch++;
}

}  // namespace emulated
