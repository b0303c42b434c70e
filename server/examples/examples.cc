#include "memod/server/examples/examples.h"

#include "memod/server/examples/dataset.h"
#include "memod/server/examples/slow_adder.h"

namespace memod::examples {

void Register(Registry& registry) {
  registry.Class<&SlowAdder::Create>("memo.examples.v1.SlowAdder")
      .Method<&SlowAdder::Calculate>("Calculate")
      .Method<&SlowAdder::Fibonacci>("Fibonacci");
  registry.Class<&Dataset::Create>("memo.examples.v1.Dataset")
      .Method<&Dataset::Describe>("Describe")
      .Method<&Dataset::Correlate>("Correlate");
}

}  // namespace memod::examples
