#include "gpu_program.h"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace convnotes {

namespace {

std::string megabytes(size_t bytes) { return std::to_string((bytes + 999999) / 1000000) + " MB"; }

double now() {
  return static_cast<double>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                 std::chrono::steady_clock::now().time_since_epoch())
                                 .count());
}

}  // namespace

// ## The device

void* allocateOn(const Gpu& gpu, size_t bytes, const char* what) {
  if (void* memory = gpu.library.allocate(bytes)) return memory;
  GpuInfo info{};
  expect(gpu.library.info(gpu.device, &info), what);
  throw GpuError(std::string(what) + " needs " + megabytes(bytes) + ", but the device has " +
                 megabytes(info.freeBytes) + " free of " + megabytes(info.totalBytes) +
                 "; a smaller batch or smaller images need less");
}

void* Gpu::arena(size_t bytes) {
  if (bytes <= arenaBytes_) return arena_;
  if (arena_) {
    expect(library.synchronize(queue), "the device");
    expect(library.release(arena_), "the device");
  }
  arena_ = nullptr;
  arenaBytes_ = 0;
  generation_++;
  arena_ = allocateOn(*this, bytes, "what arises within a step");
  arenaBytes_ = bytes;
  return arena_;
}

void Gpu::run(void* in, Call& call) const {
  const char* message = nullptr;
  const GpuResult result = library.run(in, &call, &message);
  expectDone(result, call, message);
}

void Gpu::expectDone(GpuResult result, const Call& call, const char* message) const {
  switch (result) {
    case GpuResult::done:
      return;
    case GpuResult::refused:
      throw Refusal(message);
    case GpuResult::failed:
      throw GpuError(std::string(call.name) + ": " + message);
  }
}

// ## The program

GpuProgram::GpuProgram(Gpu& gpu, Program::Description description)
    : gpu_(gpu), description_(std::move(description)), needs_(Program::check(description_)) {
  for (const Program::Step& s : description_.steps) {
    require(gpu_.library.has(s.kernel.c_str()), "there is no kernel " + s.kernel);
    const auto operands = [&](const std::vector<int>& list) {
      std::vector<Operand> result;
      for (int i : list) result.push_back(i < 0 ? Operand{} : description_.places[i].what);
      return result;
    };
    calls_.push_back({s.kernel.c_str(), operands(s.inputs), operands(s.outputs), s.options, pool_});
  }
  queue_ = gpu_.createQueue();
  // Nothing is there yet; places are told apart, and aligned as they will be.
  std::vector<char*> places;
  for (const Place& p : description_.places)
    places.push_back(reinterpret_cast<char*>(
        (p.bound ? (uintptr_t{1} << 46) + (p.at << 34) : (uintptr_t{1} << 45) + p.at) +
        p.first * p.elementBytes()));
  put(places);
  for (Call& call : calls_) {
    size_t bytes = 0;
    const char* message = nullptr;
    const GpuResult result = gpu_.library.measure(queue_, &call, &bytes, &message);
    gpu_.expectDone(result, call, message);
    workBytes_ = std::max(workBytes_, bytes);
  }
  if (description_.guardAfter < 0) return;
  const auto isLasting = [&](int i) { return i >= 0 && description_.places[i].bound; };
  for (size_t i = static_cast<size_t>(description_.guardAfter); i < calls_.size(); i++) {
    const Program::Step& step = description_.steps[i];
    const bool writes = std::any_of(step.outputs.begin(), step.outputs.end(), isLasting);
    if (writes && step.kernel != "sgd" && step.kernel != "adam") halts_ = false;
  }
}

GpuProgram::~GpuProgram() {
  gpu_.library.use(gpu_.device);
  forget();
  gpu_.library.destroyQueue(queue_);
}

void GpuProgram::forget() {
  for (void*& graph : graphs_) {
    if (graph) gpu_.library.destroyGraph(graph);
    graph = nullptr;
  }
  ready_ = captured_ = false;
}

void GpuProgram::put(const std::vector<char*>& places) {
  for (size_t i = 0; i < calls_.size(); i++) {
    const Program::Step& step = description_.steps[i];
    for (size_t k = 0; k < step.inputs.size(); k++)
      if (step.inputs[k] >= 0) calls_[i].inputs[k].data = places[step.inputs[k]];
    for (size_t k = 0; k < step.outputs.size(); k++)
      if (step.outputs[k] >= 0) calls_[i].outputs[k].data = places[step.outputs[k]];
  }
}

void GpuProgram::place(const std::vector<void*>& bound) {
  const size_t values = (description_.arenaBytes + ALIGNMENT) / ALIGNMENT * ALIGNMENT;
  char* arena = static_cast<char*>(gpu_.arena(values + workBytes_));
  if (bound == bound_ && generation_ == gpu_.generation()) return;
  forget();
  addresses_.clear();
  for (const Place& p : description_.places)
    addresses_.push_back((p.bound ? static_cast<char*>(bound[p.at]) : arena + p.at) +
                         p.first * p.elementBytes());
  put(addresses_);
  gpu_.library.lend(queue_, arena + values, workBytes_);
  bound_ = bound;
  generation_ = gpu_.generation();
  if (description_.guardAfter >= 0)
    gpu_.library.setGuard(queue_, addresses_[description_.guardPlace]);
}

void GpuProgram::calls(size_t from, size_t to) {
  for (size_t i = from; i < to; i++) gpu_.run(queue_, calls_[i]);
}

/** Whether the guard lets the run go on. */
bool GpuProgram::guarded() {
  float value = 0;
  expect(gpu_.library.download(queue_, &value, addresses_[description_.guardPlace], sizeof value),
         "the guard");
  return std::isfinite(value);
}

void* GpuProgram::capture(size_t from, size_t to) {
  if (from == to) return nullptr;
  expect(gpu_.library.beginCapture(queue_), "a graph");
  void* graph = nullptr;
  try {
    calls(from, to);
  } catch (...) {
    gpu_.library.endCapture(queue_, &graph);
    if (graph) gpu_.library.destroyGraph(graph);
    throw;
  }
  expect(gpu_.library.endCapture(queue_, &graph), "a graph");
  return graph;
}

bool GpuProgram::run(const std::vector<void*>& bound, const std::vector<double>& numbers,
                     double* times, const Program::Watch* watch) {
  require(bound.size() == needs_.bounds && numbers.size() == needs_.numbers,
          "the program takes " + std::to_string(needs_.bounds) + " tensors and " +
              std::to_string(needs_.numbers) + " numbers");
  gpu_.use();
  place(bound);
  size_t next = 0;
  for (size_t i = 0; i < calls_.size(); i++)
    for (const std::string& name : description_.steps[i].varying)
      for (Option& o : calls_[i].options.entries)
        if (o.name == name) o.numbers[0] = numbers[next++];
  if (description_.poison)
    expect(gpu_.library.fill(queue_, gpu_.arena(0), 0xff, description_.arenaBytes), "the arena");

  const size_t count = calls_.size();
  const bool hasGuard = description_.guardAfter >= 0;
  const size_t middle = hasGuard && !halts_ ? static_cast<size_t>(description_.guardAfter) : count;
  // Whatever a kernel asks for besides, it has after it was done once: a capture cannot ask for memory.
  if (!ready_ || times || watch) {
    const bool finished = oneByOne(times, watch);
    ready_ |= finished;
    return finished;
  }
  if (!captured_) {
    graphs_[0] = capture(0, middle);
    graphs_[1] = capture(middle, count);
    captured_ = true;
  }
  const auto replay = [&](void* graph) {
    if (graph) expect(gpu_.library.replay(queue_, graph), "the step");
  };
  replay(graphs_[0]);
  if (hasGuard && !guarded()) return false;
  replay(graphs_[1]);
  expect(gpu_.library.synchronize(queue_), "the step");
  return true;
}

bool GpuProgram::oneByOne(double* times, const Program::Watch* watch) {
  if (watch) require(watch->step < calls_.size(), "there is no such step to watch");
  const auto copy = [&](const std::vector<Operand>& copies, const std::vector<int>& list) {
    require(copies.size() == list.size(), "a copy is wanted of each operand, or null");
    for (size_t k = 0; k < list.size(); k++) {
      if (!copies[k].present) continue;
      require(list[k] >= 0, "an operand to watch was left out");
      const Place& place = description_.places[list[k]];
      require(copies[k].dtype == place.what.dtype && copies[k].size() == place.what.size(),
              "a copy does not fit " + place.what.show());
      const size_t images = place.what.gap ? static_cast<size_t>(place.what.shape[0]) : 1;
      const size_t bytes = place.bytes() / images;
      const size_t apart = bytes + static_cast<size_t>(place.what.gap) * place.elementBytes();
      for (size_t n = 0; n < images; n++)
        expect(gpu_.library.download(queue_, static_cast<char*>(copies[k].data) + n * bytes,
                                     addresses_[list[k]] + n * apart, bytes),
               "a copy");
    }
  };
  for (size_t i = 0; i < calls_.size(); i++) {
    const Program::Step& step = description_.steps[i];
    const bool watched = watch && watch->step == i;
    if (watched) copy(watch->inputs, step.inputs);
    if (times) expect(gpu_.library.synchronize(queue_), step.kernel);
    const double started = times ? now() : 0;
    calls(i, i + 1);
    if (times) {
      expect(gpu_.library.synchronize(queue_), step.kernel);
      times[i] += now() - started;
    }
    if (watched) copy(watch->outputs, step.outputs);
    if (static_cast<int>(i) + 1 == description_.guardAfter && !guarded()) return false;
  }
  expect(gpu_.library.synchronize(queue_), "the step");
  return true;
}

}  // namespace convnotes
