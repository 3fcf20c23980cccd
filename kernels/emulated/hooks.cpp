// # Told of every access
//
// -fsanitize=thread makes the compiler put a call before each access to memory. Its own library is
// not linked into the check build; these functions take its place, and ask check.cpp. Hidden, so
// that they are nobody else's even in a program that uses that library itself.

#include "machine.h"

#pragma GCC visibility push(hidden)

namespace {

using emulated::Thread;

void told(const void* p, size_t bytes, bool isWrite, const void* code) {
  // The host's part of a file of kernels is told of, too, on whatever thread it runs.
  if (!emulated::isLocal(__builtin_frame_address(0))) return;
  Thread& thread = *emulated::self();
  if (emulated::isLocal(p)) return emulated::checkLocal(thread, p, isWrite, code);
  emulated::checkAccess(thread, p, bytes, isWrite, code, {});
}

}  // namespace

extern "C" {

#define HERE __builtin_return_address(0)
#define ACCESS(bytes)                                                                    \
  void __tsan_read##bytes(void* p) { told(p, bytes, false, HERE); }                      \
  void __tsan_write##bytes(void* p) { told(p, bytes, true, HERE); }                      \
  void __tsan_unaligned_read##bytes(void* p) { told(p, bytes, false, HERE); }            \
  void __tsan_unaligned_write##bytes(void* p) { told(p, bytes, true, HERE); }            \
  void __tsan_volatile_read##bytes(void* p) { told(p, bytes, false, HERE); }             \
  void __tsan_volatile_write##bytes(void* p) { told(p, bytes, true, HERE); }             \
  void __tsan_unaligned_volatile_read##bytes(void* p) { told(p, bytes, false, HERE); }   \
  void __tsan_unaligned_volatile_write##bytes(void* p) { told(p, bytes, true, HERE); }
ACCESS(1)
ACCESS(2)
ACCESS(4)
ACCESS(8)
ACCESS(16)

void __tsan_init() {}
void __tsan_read_range(void* p, size_t bytes) { told(p, bytes, false, HERE); }
void __tsan_write_range(void* p, size_t bytes) { told(p, bytes, true, HERE); }
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}

// -fsanitize=alignment has the compiler test each address, and say here which was wrong.
struct SourceOfMismatch {
  const char* file;
  unsigned line, column;
};
void __ubsan_handle_type_mismatch_v1(const SourceOfMismatch* source, void* p) {
  if (emulated::isLocal(__builtin_frame_address(0)))
    emulated::fail("misaligned: uses " + emulated::whereIs(p) +
                   emulated::at(emulated::Site{"", source->file, int(source->line)}) +
                   ", which is no multiple of its type's alignment");
}

}  // extern "C"

#pragma GCC visibility pop
