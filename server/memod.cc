// The shipped memod: hosts the two examples.
#include "memod/server/examples/examples.h"
#include "memod/server/main.h"

int main(int argc, char** argv) {
  memod::Registry registry;
  memod::examples::Register(registry);
  return memod::Main(argc, argv, registry);
}
