// # Fibers
//
// A switch saves what the calling convention says a function keeps, and changes the stack pointer:
// some ten instructions. The C library's swapcontext would also call the kernel, at ten times the
// time.

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>

#include "machine.h"

extern "C" void emulatedSwitch(void** saved, void* next);

#if defined(__x86_64__) && defined(__linux__)
asm(R"(
.text
.globl emulatedSwitch
.hidden emulatedSwitch
.type emulatedSwitch, @function
emulatedSwitch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size emulatedSwitch, .-emulatedSwitch
)");
#else
#error "the emulated device knows how to switch stacks on Linux on x86-64 only"
#endif

namespace emulated {

void switchTo(Fiber& from, Fiber& to) { emulatedSwitch(&from.stackPointer, to.stackPointer); }

// Six registers to restore, then the address to return to, then what `main` would return to; on
// entry of a function the stack pointer is 8 past a multiple of 16. Stacks begin at staggered
// addresses, or the frames of all threads would compete for the same lines of the cache.
void prepare(Fiber& fiber, void (*main)()) {
  const size_t stagger = reinterpret_cast<uintptr_t>(fiber.stack) / stackBytes % 32 * 192;
  void** top = reinterpret_cast<void**>(fiber.stack + stackBytes - pageBytes - stagger);
  *--top = nullptr;
  *--top = reinterpret_cast<void*>(main);
  for (int i = 0; i < 6; i++) *--top = nullptr;
  fiber.stackPointer = top;
}

char* reserveStacks() {
  const size_t bytes = maxThreads * stackBytes;
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) abort();
  char* stacks = static_cast<char*>(memory);
  for (unsigned i = 0; i < maxThreads; i++) mprotect(stacks + i * stackBytes, pageBytes, PROT_NONE);
  return stacks;
}

}  // namespace emulated
