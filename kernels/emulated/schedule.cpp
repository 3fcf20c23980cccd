// # Who runs next
//
// A block's threads run one at a time until they wait or return. A thread that returns hands its
// stack to the next one that never ran, so that kernels without barriers cost no switch at all.
// Random order draws who is next, forward order takes them as they come.

#include <dlfcn.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>

#include "machine.h"

namespace emulated {

const Place* place = nullptr;
Settings settings;
Block block;
char* arena = nullptr;

bool checks() { return checking; }

namespace {

char* stacks = nullptr;
std::vector<Fiber> fibers;
std::vector<Fiber*> idle;
Fiber host;
/** The thread that the next fiber to begin is to run. */
Thread* starting = nullptr;
sigjmp_buf fault;
void* faultAddress = nullptr;
const void* faultCode = nullptr;
int faultSignal = 0;

}  // namespace

bool isLocal(const void* p) {
  return stacks && p >= stacks && p < stacks + maxThreads * stackBytes;
}

// ## Messages

std::string format(const char* pattern, ...) {
  char text[1024];
  va_list arguments;
  va_start(arguments, pattern);
  vsnprintf(text, sizeof text, pattern, arguments);
  va_end(arguments);
  return text;
}

std::string coordinates(uint3 of) { return format("(%u, %u, %u)", of.x, of.y, of.z); }

std::string name(const Thread& thread) { return "thread " + coordinates(thread.thread); }

namespace {

const char* withoutFolder(const char* path) {
  const char* slash = strrchr(path, '/');
  return slash ? slash + 1 : path;
}

void record(const std::string& message) {
  Launch& launch = *block.launch;
  if (launch.error.empty())
    launch.error = "kernel " + launch.name + ", block " + coordinates(block.index) + message;
}

}  // namespace

std::string at(Site site) { return format(" at %s:%d", withoutFolder(site.file), site.line); }

// The compiler's debug information says which lines an instruction came from, the innermost first;
// those of the language's own header are nobody's fault.
std::string at(const void* code) {
  Dl_info found;
  if (!code || !dladdr(code, &found) || !found.dli_fname || strchr(found.dli_fname, '\'')) return "";
  // A return address stands behind the call.
  const ptrdiff_t offset = static_cast<const char*>(code) - static_cast<char*>(found.dli_fbase) - 1;
  const std::string command =
      format("addr2line -s -i -e '%s' 0x%tx 2>/dev/null", found.dli_fname, offset);
  std::string result;
  if (FILE* lines = popen(command.c_str(), "r")) {
    char line[256];
    while (result.empty() && fgets(line, sizeof line, lines)) {
      line[strcspn(line, " \n")] = 0;
      if (line[0] != '?' && strncmp(line, "language.h:", 11) != 0) result = line;
    }
    pclose(lines);
  }
  return result.empty() ? "" : " at " + result;
}

namespace {

[[noreturn]] void abandonBlock() {
  Fiber abandoned;
  switchTo(abandoned, host);
  abort();
}

}  // namespace

void fail(const std::string& message) {
  record(", " + name(*self()) + ": " + message);
  abandonBlock();
}

void trap(Site site) { fail(std::string("called ") + site.what + at(site)); }

// ## Chance: reproducible, and not the same for two blocks

uint64_t nextRandom(uint64_t& state) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state * 0x2545f4914f6cdd1d;
}
uint64_t scramble(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
  x = (x ^ x >> 27) * 0x94d049bb133111eb;
  return (x ^ x >> 31) | 1;
}
uint32_t draw(uint32_t n) { return uint32_t((nextRandom(block.random) >> 33) % n); }

bool putOff() {
  return settings.asynchrony == Asynchrony::late ||
         (settings.asynchrony == Asynchrony::random && draw(2));
}

// ## The queues

namespace {

Thread* take(Block::Queue& queue, size_t which) {
  std::swap(queue.threads[queue.head], queue.threads[queue.head + which]);
  Thread* thread = queue.threads[queue.head++];
  if (queue.size() == 0) queue.clear();
  return thread;
}

/** nullptr when all wait, or have returned. */
Thread* choose() {
  if (settings.asynchrony == Asynchrony::random)
    while (hasPendingLoads() && draw(4) == 0) landOneLoad();
  // As late as can be: when nobody could go on without.
  while (block.ready.size() + block.fresh.size() == 0 && hasPendingLoads()) landOneLoad();
  const size_t ready = block.ready.size(), fresh = block.fresh.size();
  if (ready + fresh == 0) return nullptr;
  if (settings.order != Order::random)
    return ready > 0 ? take(block.ready, 0) : take(block.fresh, 0);
  const size_t which = draw(uint32_t(ready + fresh));
  return which < ready ? take(block.ready, which) : take(block.fresh, which - ready);
}

/** The fiber to switch to so that the thread runs. */
Fiber& fiberOf(Thread& thread) {
  if (thread.state == State::fresh) {
    thread.fiber = idle.back();
    idle.pop_back();
    starting = &thread;
  }
  return *thread.fiber;
}

/** Called when no thread can run and some have not returned: says who waits where. */
[[noreturn]] void failDeadlock() {
  struct Crowd {
    const Thread* first;
    int threads;
  };
  std::vector<Crowd> crowds;
  int returned = 0;
  for (const Thread& t : block.threads) {
    if (t.state == State::done) returned++;
    if (t.state != State::waiting) continue;
    const auto same = std::find_if(crowds.begin(), crowds.end(), [&](const Crowd& c) {
      return c.first->site.line == t.site.line && c.first->site.what == t.site.what;
    });
    if (same == crowds.end())
      crowds.push_back({&t, 1});
    else
      same->threads++;
  }
  std::string message = ": deadlock";
  const char* link = ", ";
  for (const auto& [first, threads] : crowds) {
    message += link + name(*first);
    if (threads > 1) message += format(" and %d more wait", threads - 1);
    else message += " waits";
    message += std::string(" in ") + first->site.what + at(first->site);
    link = ", and ";
  }
  if (returned > 0) message += format(", and %d have returned", returned);
  record(message);
  abandonBlock();
}

/** Runs somebody else, until this thread, which waits or is ready, is chosen again. */
void runOthers(Thread& thread) {
  Thread* next = choose();
  if (!next) failDeadlock();
  if (next != &thread) switchTo(*thread.fiber, fiberOf(*next));
  thread.state = State::running;
  place = &thread;
}

void fiberMain() {
  for (;;) {
    Thread& thread = *starting;
    Fiber& mine = *thread.fiber;
    thread.state = State::running;
    place = &thread;
    block.launch->body.call(block.launch->body.arguments);
    thread.state = State::done;
    leave(thread);
    Thread* next = choose();
    if (next && next->state == State::fresh) {
      next->fiber = &mine;
      starting = next;
      continue;
    }
    if (!next && block.live > 0) failDeadlock();
    idle.push_back(&mine);
    switchTo(mine, next ? *next->fiber : host);
  }
}

}  // namespace

void makeReady(Thread& thread) {
  thread.state = State::ready;
  block.ready.threads.push_back(&thread);
}
void wait(Thread& thread, Site site) {
  thread.state = State::waiting;
  thread.site = site;
  runOthers(thread);
}
void perhapsYield(Thread& thread) {
  if (settings.order != Order::random || draw(2)) return;
  makeReady(thread);
  runOthers(thread);
}

// ## A block's life

namespace {

void resetFibers() {
  if (fibers.empty()) {
    stacks = reserveStacks();
    fibers.resize(maxThreads);
    for (unsigned i = 0; i < maxThreads; i++)
      fibers[i].stack = stacks + i * stackBytes + pageBytes;
  }
  idle.clear();
  for (unsigned i = maxThreads; i-- > 0;) {
    prepare(fibers[i], fiberMain);
    idle.push_back(&fibers[i]);
  }
}

void resetBlock(Launch& launch, uint64_t number) {
  const dim3 grid = launch.grid, size = launch.block;
  block.launch = &launch;
  block.serial++;
  block.index = {unsigned(number % grid.x), unsigned(number / grid.x % grid.y),
                 unsigned(number / grid.x / grid.y)};
  block.random = scramble(settings.seed ^ scramble(block.serial));
  block.live = launch.threads;
  block.threads.resize(launch.threads);
  block.warps.assign((launch.threads + 31) / 32, Warp{});
  block.ready.clear();
  block.fresh.clear();
  block.busyWith = {};
  for (Barrier& b : block.barriers) b = {};
  for (unsigned i = 0; i < launch.threads; i++) {
    Thread& t = block.threads[i];
    static_cast<Place&>(t) = {{i % size.x, i / size.x % size.y, i / size.x / size.y},
                              block.index,
                              size,
                              grid};
    t.index = i;
    t.lane = i % 32;
    t.warp = &block.warps[i / 32];
    t.warp->live |= 1u << t.lane;
    t.warp->lanes[t.lane] = &t;
    t.state = State::fresh;
    t.fiber = nullptr;
    t.hasOpenCopies = false;
    t.openCopies.clear();
    t.copyGroups.clear();
    t.committed = t.landed = t.products = 0;
    t.productGroups.clear();
    t.accumulators.clear();
    t.mayMultiply = false;
    block.fresh.threads.push_back(&t);
  }
  if (settings.order == Order::reverse)
    std::reverse(block.fresh.threads.begin(), block.fresh.threads.end());

  resetHopper();
  block.variables.clear();
  const size_t dynamicEnd = sharedStart + launch.sharedBytes;
  block.staticStart = block.staticEnd = (dynamicEnd + 16 + 1023) / 1024 * 1024;
  memset(arena + sharedStart, poison, launch.sharedBytes);
  memset(arena + dynamicEnd, fence, block.staticStart - dynamicEnd);
}

/** What only shows when the block has ended. */
void inspectShared() {
  const auto broken = [](size_t from, size_t to) {
    return std::any_of(arena + from, arena + to,
                       [](char c) { return static_cast<unsigned char>(c) != fence; });
  };
  const size_t dynamicEnd = sharedStart + block.launch->sharedBytes;
  if (broken(dynamicEnd, dynamicEnd + 16))
    record(format(": wrote past the end of its %zu bytes of dynamic shared memory",
                  block.launch->sharedBytes));
  for (const SharedVariable& v : block.variables)
    if (broken(v.offset + v.bytes, v.offset + v.bytes + 16))
      record(format(": wrote past the end of a shared variable of %zu bytes", v.bytes));
}

void inspectThreads() {
  for (const Thread& t : block.threads)
    if (t.hasOpenCopies)
      return record(", " + name(t) + ": returned with a cp.async that it never committed");
}

// ## Faults
//
// The processor tells of an access to a page that nobody may touch. The thread is on its own stack
// then, which nobody returns to; the host's takes over.

void onFault(int signal, siginfo_t* info, void* context) {
  const greg_t* registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  if (!isLocal(reinterpret_cast<void*>(registers[REG_RSP]))) {
    // Not a kernel's: it happens again, and ends the program as it would have.
    ::signal(signal, SIG_DFL);
    return;
  }
  faultSignal = signal;
  faultAddress = info->si_addr;
  faultCode = reinterpret_cast<void*>(registers[REG_RIP]);
  siglongjmp(fault, 1);
}

constexpr int faults[] = {SIGSEGV, SIGBUS, SIGFPE};

/** While it lives, faults are reported as what the kernel did. */
class FaultHandlers {
 public:
  FaultHandlers() {
    stack_t mine{};
    mine.ss_sp = stack_;
    mine.ss_size = sizeof stack_;
    sigaltstack(&mine, &oldStack_);
    struct sigaction action {};
    action.sa_sigaction = onFault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    for (size_t i = 0; i < std::size(faults); i++) sigaction(faults[i], &action, &old_[i]);
  }
  ~FaultHandlers() {
    for (size_t i = 0; i < std::size(faults); i++) sigaction(faults[i], &old_[i], nullptr);
    sigaltstack(&oldStack_, nullptr);
  }

 private:
  static inline char stack_[64 * 1024];
  struct sigaction old_[std::size(faults)];
  stack_t oldStack_{};
};

std::string describeFault() {
  // `at` expects an address behind the instruction.
  const std::string where = block.busyWith.what
                                ? format(", in %s", block.busyWith.what) + at(block.busyWith)
                                : at(static_cast<const char*>(faultCode) + 1);
  if (faultSignal == SIGFPE) return "integer division by zero" + where;
  const char* address = static_cast<char*>(faultAddress);
  if (isLocal(address))
    return format("needs more than %zu KiB of local memory", (stackBytes - pageBytes) / 1024) +
           where;
  return "access out of bounds, at " + whereInMemory(address) + where;
}

void runBlock(Launch& launch, uint64_t number) {
  resetBlock(launch, number);
  if constexpr (checking) checkBlock();
  if (sigsetjmp(fault, 0) == 0)
    switchTo(host, fiberOf(*choose()));
  else
    record(", " + name(*self()) + ": " + describeFault());
  place = nullptr;
  if (launch.error.empty()) inspectShared();
  if (launch.error.empty()) inspectThreads();
  // Threads that were abandoned have left their frames behind.
  if (!launch.error.empty()) resetFibers();
}

/** The blocks' numbers in the order in which they run. */
std::vector<uint64_t> orderOf(uint64_t blocks) {
  std::vector<uint64_t> order(blocks);
  for (uint64_t i = 0; i < blocks; i++)
    order[i] = settings.order == Order::reverse ? blocks - 1 - i : i;
  if (settings.order == Order::random) {
    uint64_t random = scramble(settings.seed ^ scramble(block.serial + 1));
    for (uint64_t i = blocks; i > 1; i--) std::swap(order[i - 1], order[nextRandom(random) % i]);
  }
  return order;
}

}  // namespace

void run(Launch& launch) {
  if (!arena) {
    void* memory = mmap(nullptr, arenaBytes + pageBytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) abort();
    arena = static_cast<char*>(memory);
    resetFibers();
  }
  if constexpr (checking) checkLaunch();
  const FaultHandlers handlers;
  for (uint64_t number : orderOf(uint64_t{launch.grid.x} * launch.grid.y * launch.grid.z)) {
    runBlock(launch, number);
    if (!launch.error.empty()) return;
  }
  if (const std::string broken = brokenFence(); !broken.empty())
    launch.error = "kernel " + launch.name + " " + broken;
}

}  // namespace emulated
