#include "program.h"

#include <algorithm>
#include <chrono>
#include <cstring>

namespace convnotes {

// ## The arena
//
// Programs take turns, so all of a process share one, as large as the largest needs.

struct Program::Arena {
  Scratch memory;
};

namespace {

double now() {
  return static_cast<double>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                 std::chrono::steady_clock::now().time_since_epoch())
                                 .count());
}

}  // namespace

Program::Needs Program::check(const Description& description) {
  Needs needs;
  const auto& places = description.places;
  for (const Place& p : places) {
    if (p.bound) {
      require(!p.isSlice(), "what is bound must be bound as a whole, but " + p.what.show() +
                                " is a slice");
      needs.bounds = std::max(needs.bounds, p.at + 1);
    } else {
      require(p.at % 64 == 0 && p.at <= description.arenaBytes &&
                  p.reach() <= description.arenaBytes - p.at,
              "a place of shape " + p.what.show() + " lies outside the arena");
    }
  }
  const auto known = [&](const std::vector<int>& list) {
    for (int i : list)
      require(i >= -1 && i < static_cast<int>(places.size()), "there is no such place");
  };
  for (const Step& s : description.steps) {
    known(s.inputs);
    known(s.outputs);
    for (const std::string& name : s.varying) {
      const Option* o = s.options.find(name.c_str());
      require(o && (o->kind == Option::Kind::number || o->kind == Option::Kind::flag),
              name + " is to vary, but is no number or flag of " + s.kernel);
    }
    needs.numbers += s.varying.size();
  }
  if (description.guardAfter >= 0) {
    known({description.guardPlace});
    require(description.guardPlace >= 0 && places[description.guardPlace].what.size() == 1 &&
                places[description.guardPlace].what.dtype == DType::float32,
            "the guard must be a single float32");
  }
  return needs;
}

Program::Program(Description description)
    : description_(std::move(description)), needs_(check(description_)) {
  for (const Place& p : description_.places)
    require(!p.isSlice(), "a place of shape " + p.what.show() + " is a slice, but this is the host");
  static std::weak_ptr<Arena> shared;
  arena_ = shared.lock();
  if (!arena_) shared = arena_ = std::make_shared<Arena>();
}

Program::~Program() = default;

void Program::prepare(const InstructionSet& set, Pool& pool) {
  std::vector<void (*)(Call&)> entries;
  std::vector<Call> calls;
  for (const Step& s : description_.steps) {
    const Kernel* found = nullptr;
    for (const Kernel& k : set.kernels->list)
      if (s.kernel == k.name) found = &k;
    for (const Kernel& k : set.kernels->fused)
      if (s.kernel == k.name) found = &k;
    require(found != nullptr, "there is no kernel " + s.kernel);
    entries.push_back(found->run);
    const auto operands = [&](const std::vector<int>& list) {
      std::vector<Operand> result;
      for (int i : list) result.push_back(i < 0 ? Operand{} : description_.places[i].what);
      return result;
    };
    calls.push_back({found->name, operands(s.inputs), operands(s.outputs), s.options, pool});
  }
  entries_ = std::move(entries);
  calls_ = std::move(calls);
  kernels_ = set.kernels;
  pool_ = &pool;
}

bool Program::run(const InstructionSet& set, Pool& pool, const std::vector<Operand>& bound,
                  const std::vector<double>& numbers, double* times, const Watch* watch) {
  require(bound.size() == needs_.bounds && numbers.size() == needs_.numbers,
          "the program takes " + std::to_string(needs_.bounds) + " tensors and " +
              std::to_string(needs_.numbers) + " numbers");
  if (kernels_ != set.kernels || pool_ != &pool) prepare(set, pool);

  // The numbers beyond the arena's end, up to a whole page, belong to nobody.
  char* arena = reinterpret_cast<char*>(
      arena_->memory.reserve(description_.arenaBytes / sizeof(float) + 1));
  if (description_.poison) std::memset(arena, 0xff, description_.arenaBytes);
  std::vector<void*> addresses;
  for (const Place& p : description_.places) {
    if (!p.bound) {
      addresses.push_back(arena + p.at);
      continue;
    }
    const Operand& given = bound[p.at];
    require(given.present && given.dtype == p.what.dtype && given.size() == p.what.size(),
            "what is bound as number " + std::to_string(p.at) + " does not fit " + p.what.show());
    addresses.push_back(given.data);
  }

  if (watch) {
    require(watch->step < calls_.size(), "there is no such step to watch");
    const Step& step = description_.steps[watch->step];
    const auto fits = [&](const std::vector<Operand>& copies, const std::vector<int>& list) {
      require(copies.size() == list.size(), "a copy is wanted of each operand, or null");
      for (size_t k = 0; k < list.size(); k++) {
        if (!copies[k].present) continue;
        require(list[k] >= 0, "an operand to watch was left out");
        const Operand& what = description_.places[list[k]].what;
        require(copies[k].dtype == what.dtype && copies[k].size() == what.size(),
                "a copy does not fit " + what.show());
      }
    };
    fits(watch->inputs, step.inputs);
    fits(watch->outputs, step.outputs);
  }
  const auto copy = [&](const std::vector<Operand>& copies, const std::vector<int>& list) {
    for (size_t k = 0; k < list.size(); k++)
      if (copies[k].present)
        std::memcpy(copies[k].data, addresses[list[k]], description_.places[list[k]].bytes());
  };

  size_t next = 0;
  for (size_t i = 0; i < calls_.size(); i++) {
    const Step& step = description_.steps[i];
    Call& call = calls_[i];
    for (size_t k = 0; k < step.inputs.size(); k++)
      if (step.inputs[k] >= 0) call.inputs[k].data = addresses[step.inputs[k]];
    for (size_t k = 0; k < step.outputs.size(); k++)
      if (step.outputs[k] >= 0) call.outputs[k].data = addresses[step.outputs[k]];
    for (const std::string& name : step.varying)
      for (Option& o : call.options.entries)
        if (o.name == name) o.numbers[0] = numbers[next++];
    const bool watched = watch && watch->step == i;
    if (watched) copy(watch->inputs, step.inputs);
    const double started = times ? now() : 0;
    entries_[i](call);
    if (times) times[i] += now() - started;
    if (watched) copy(watch->outputs, step.outputs);
    if (static_cast<int>(i) + 1 == description_.guardAfter &&
        !std::isfinite(*static_cast<const float*>(addresses[description_.guardPlace])))
      return false;
  }
  return true;
}

}  // namespace convnotes
