#include <memod/server/main.h>

#include "greeter.pb.h"

class Greeter {
 public:
  static absl::StatusOr<std::unique_ptr<Greeter>> Create(const own::v1::GreeterState& state) {
    if (state.greeting().empty()) return absl::InvalidArgumentError("greeting: must not be empty");
    return std::make_unique<Greeter>(state.greeting());
  }
  explicit Greeter(std::string greeting) : greeting_(std::move(greeting)) {}

  absl::StatusOr<own::v1::GreetResponse> Greet(const own::v1::GreetRequest& request) const {
    own::v1::GreetResponse response;
    response.set_text(greeting_ + ", " + request.name() + "!");
    return response;
  }

 private:
  const std::string greeting_;
};

int main(int argc, char** argv) {
  memod::Registry registry;
  registry.Class<&Greeter::Create>("own.v1.Greeter")
      .Method<&Greeter::Greet>("Greet", {.max_entries = 1000});
  return memod::Main(argc, argv, registry);
}
