// # The door
//
// What the parts of the addon share: the team of threads, and the words with which arguments from
// JavaScript are read and errors given back. addon.cpp says what they promise.

#pragma once

#define NAPI_CPP_EXCEPTIONS
#include <napi.h>

#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <system_error>
#include <vector>

#include "../host/dispatch.h"

namespace convnotes::door {

struct Team {
  explicit Team(InstructionSet set, int threads, int64_t grain = Pool::GRAIN)
      : set(set), pool(threads, grain) {}
  InstructionSet set;
  Pool pool;
};

/** What was passed for one tensor. */
struct Passed {
  Napi::Value data;
  std::vector<double> shape;
};

/** Held while kernels run. */
extern std::mutex turn;

/** The team that this environment uses; held `turn`. */
Team& teamOf(const Napi::Env& env);

std::vector<Passed> read(Napi::Value list, const char* what);
std::vector<Operand> operandsOf(const Napi::Env& env, const std::vector<Passed>& passed);
Options optionsOf(Napi::Value value);
Napi::Error refusal(const Napi::Env& env, const std::string& message);

/** Runs `body`; whatever C++ throws becomes an exception of JavaScript. */
template <class Body>
Napi::Value guarded(const Napi::Env& env, const Body& body) {
  try {
    return body();
  } catch (const Refusal& e) {
    throw refusal(env, e.what());
  } catch (const std::bad_alloc&) {
    throw Napi::RangeError::New(env, "not enough memory for the kernel's buffers");
  } catch (const std::length_error&) {
    throw Napi::RangeError::New(env, "not enough memory for the kernel's buffers");
  } catch (const std::system_error&) {
    throw Napi::RangeError::New(
        env, "the system gives no more threads; ask for fewer (--threads or CONVNOTES_THREADS)");
  }
}

}  // namespace convnotes::door
