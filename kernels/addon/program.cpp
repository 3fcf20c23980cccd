#include "program.h"

#include <cmath>

namespace convnotes::door {

namespace {

// ## Reading the description

/** A list may be long, but not so long that reading it is an attack. */
constexpr uint32_t MOST = 1 << 20;

Napi::Array listOf(const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name);
  require(value.IsArray(), std::string(name) + " must be a list");
  const Napi::Array list = value.As<Napi::Array>();
  require(list.Length() <= MOST, std::string(name) + " is too long");
  return list;
}

double wholeOf(const Napi::Value& value, const char* what, double least, double most) {
  const double x = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : NAN;
  require(x >= least && x <= most && x == std::trunc(x),
          std::string(what) + " must be a whole number");
  return x;
}

std::vector<int> numbersOf(const Napi::Array& list) {
  std::vector<int> numbers;
  for (uint32_t i = 0; i < list.Length(); i++)
    numbers.push_back(static_cast<int>(wholeOf(list[i], "a number of a place", -1, MOST)));
  return numbers;
}

std::string textOf(const Napi::Value& value, const char* what) {
  require(value.IsString(), std::string(what) + " must be a string");
  return value.As<Napi::String>().Utf8Value();
}

Napi::Object objectOf(const Napi::Value& value, const char* what) {
  require(value.IsObject(), std::string(what) + " must be an object");
  return value.As<Napi::Object>();
}

Place placeOf(const Napi::Object& object) {
  Place place;
  place.what.present = true;
  const std::string dtype = textOf(object.Get("dtype"), "dtype");
  bool known = false;
  for (int i = 0; i < 4; i++)
    if (dtype == dtypeNames[i]) {
      place.what.dtype = static_cast<DType>(i);
      known = true;
    }
  require(known, "there is no dtype " + dtype);
  const Napi::Array shape = listOf(object, "shape");
  require(shape.Length() <= MAX_AXES, "a place has too many axes");
  // No product overflows, and nothing is larger than what can be bound.
  constexpr double MOST_ELEMENTS = 0x1p40;
  double product = 1;
  for (uint32_t k = 0; k < shape.Length(); k++) {
    const double d = wholeOf(shape[k], "a size", 1, MOST_ELEMENTS);
    place.what.shape[place.what.axes++] = static_cast<int64_t>(d);
    product *= d;
    require(product <= MOST_ELEMENTS, "a place is too large");
  }
  // Small enough for no sum of both to overflow, however many images there are.
  const auto spacing = [&](const char* name) {
    return object.Has(name) ? wholeOf(object.Get(name), name, 0, MOST_ELEMENTS) : 0;
  };
  place.first = static_cast<size_t>(spacing("first"));
  const double gap = spacing("gap");
  require(gap == 0 || (place.what.axes > 0 &&
                       gap * static_cast<double>(place.what.shape[0]) <= MOST_ELEMENTS),
          "the gap between images is too large");
  place.what.gap = static_cast<int64_t>(gap);
  place.bound = object.Has("bound");
  place.at = static_cast<size_t>(place.bound
                                     ? wholeOf(object.Get("bound"), "bound", 0, MOST)
                                     : wholeOf(object.Get("offset"), "offset", 0, 0x1p45));
  return place;
}

/** Arrays to copy into, as lists of numbers; null where none is wanted. */
std::vector<Passed> copiesOf(const Napi::Array& list) {
  std::vector<Passed> passed;
  for (uint32_t i = 0; i < list.Length(); i++) {
    Passed p{list[i], {}};
    if (!p.data.IsNull()) {
      require(p.data.IsTypedArray(), "copies must be typed arrays or null");
      p.shape.push_back(static_cast<double>(p.data.As<Napi::TypedArray>().ElementLength()));
    }
    passed.push_back(std::move(p));
  }
  return passed;
}

Napi::Float64Array floatsOf(const Napi::Value& value, const char* what) {
  require(value.IsTypedArray() &&
              value.As<Napi::TypedArray>().TypedArrayType() == napi_float64_array,
          std::string(what) + " must be a Float64Array");
  return value.As<Napi::Float64Array>();
}

}  // namespace

Program::Description descriptionOf(const Napi::Value& value) {
  const Napi::Object object = objectOf(value, "the description");
  Program::Description d;
  d.arenaBytes = static_cast<size_t>(wholeOf(object.Get("arenaBytes"), "arenaBytes", 0, 0x1p45));
  const Napi::Array places = listOf(object, "places");
  for (uint32_t i = 0; i < places.Length(); i++)
    d.places.push_back(placeOf(objectOf(places[i], "a place")));
  const Napi::Array steps = listOf(object, "steps");
  for (uint32_t i = 0; i < steps.Length(); i++) {
    const Napi::Object step = objectOf(steps[i], "a step");
    Program::Step s{textOf(step.Get("kernel"), "kernel"), numbersOf(listOf(step, "inputs")),
                    numbersOf(listOf(step, "outputs")), optionsOf(step.Get("options")), {}};
    const Napi::Array varying = listOf(step, "varying");
    for (uint32_t k = 0; k < varying.Length(); k++)
      s.varying.push_back(textOf(varying[k], "the name of a varying option"));
    d.steps.push_back(std::move(s));
  }
  if (object.Get("guard").IsObject()) {
    const Napi::Object guard = objectOf(object.Get("guard"), "guard");
    d.guardAfter = static_cast<int>(wholeOf(guard.Get("after"), "after", 0, MOST));
    d.guardPlace = static_cast<int>(wholeOf(guard.Get("place"), "place", 0, MOST));
  }
  d.poison = object.Get("poison").ToBoolean().Value();
  return d;
}

RunArguments argumentsOf(const Napi::CallbackInfo& info, size_t steps) {
  RunArguments result;
  result.watching = info[3].IsObject();
  if (result.watching) {
    const Napi::Object object = info[3].As<Napi::Object>();
    result.step = static_cast<size_t>(wholeOf(object.Get("step"), "step", 0, MOST));
    result.inputs = copiesOf(listOf(object, "inputs"));
    result.outputs = copiesOf(listOf(object, "outputs"));
  }
  const Napi::Float64Array given = floatsOf(info[1], "numbers");
  result.numbers.assign(given.Data(), given.Data() + given.ElementLength());
  if (!info[2].IsUndefined() && !info[2].IsNull()) {
    Napi::Float64Array array = floatsOf(info[2], "times");
    require(array.ElementLength() == steps, "times must have one for each step");
    result.times = array.Data();
  }
  return result;
}

namespace {

// ## The class

class ProgramObject : public Napi::ObjectWrap<ProgramObject> {
 public:
  explicit ProgramObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<ProgramObject>(info) {
    guarded(info.Env(), [&]() -> Napi::Value {
      Program::Description d = descriptionOf(info[0]);
      std::lock_guard lock(turn);
      program_ = std::make_unique<Program>(std::move(d));
      return info.Env().Undefined();
    });
  }

  Napi::Value run(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    return guarded(env, [&]() -> Napi::Value {
      require(program_ != nullptr, "the program was never made");
      require(info[0].IsArray(), "what is bound must be a list");
      const Napi::Array list = info[0].As<Napi::Array>();
      require(list.Length() == program_->bounds(),
              "the program takes " + std::to_string(program_->bounds()) + " tensors");
      // As in addon.cpp: everything is read before any address is asked for.
      std::vector<Passed> passed(program_->bounds());
      for (const Place& p : program_->places()) {
        if (!p.bound || !passed[p.at].data.IsEmpty()) continue;
        passed[p.at].data = list[static_cast<uint32_t>(p.at)];
        require(passed[p.at].data.IsTypedArray(), "what is bound must be typed arrays");
        for (int k = 0; k < p.what.axes; k++)
          passed[p.at].shape.push_back(static_cast<double>(p.what.shape[k]));
      }
      for (const Passed& p : passed) require(!p.data.IsEmpty(), "a number of what is bound is missing");
      const RunArguments given = argumentsOf(info, program_->steps());
      const std::vector<Operand> bound = operandsOf(env, passed);
      const Program::Watch watch{given.step, operandsOf(env, given.inputs),
                                 operandsOf(env, given.outputs)};
      std::lock_guard lock(turn);
      Team& team = teamOf(env);
      return Napi::Boolean::New(env, program_->run(team.set, team.pool, bound, given.numbers,
                                                   given.times, given.watching ? &watch : nullptr));
    });
  }

 private:
  std::unique_ptr<Program> program_;
};

}  // namespace

Napi::Function programClass(Napi::Env env) {
  return ProgramObject::DefineClass(
      env, "Program", {ProgramObject::InstanceMethod<&ProgramObject::run>("run")});
}

}  // namespace convnotes::door
