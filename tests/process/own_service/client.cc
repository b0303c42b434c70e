// A client of one's own, of the library memod::client: opens a session and prints what it is told.
#include <memod/client/client.h>

#include <iostream>

#include "greeter.pb.h"

int main(int, char** argv) {
  const auto client = memod::Client::Connect(argv[1]);
  if (!client.ok()) return 1;
  own::v1::GreeterState state;
  state.set_greeting("Hello");
  auto session = client->OpenSession(state);
  if (!session.ok()) return 1;
  std::cout << session->id() << std::endl;
  return session->Close().ok() ? 0 : 1;
}
