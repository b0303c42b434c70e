// TLS and client certificates on both ports and to upstreams; files that change; what a server does
// not start with. What it logs, and HTTP, are process/tls_test.py's.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "memod/tests/testing/server_test.h"

namespace memod {
namespace {

namespace fs = std::filesystem;

std::string Text(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

// What deploy/make-test-ca makes, in a folder of its own. `server`: whom the server's certificate is
// for.
class TestCa {
 public:
  explicit TestCa(const std::string& server) {
    std::string folder = testing::TempDir() + "memod-tls-XXXXXX";
    EXPECT_NE(mkdtemp(folder.data()), nullptr);
    folder_ = folder;
    const std::string command = absl::StrCat(MEMOD_SOURCE_DIR "/deploy/make-test-ca ", folder, " ",
                                             server, " 127.0.0.1 >/dev/null");
    EXPECT_EQ(std::system(command.c_str()), 0);
  }
  ~TestCa() { fs::remove_all(folder_); }
  TestCa(const TestCa&) = delete;

  std::string path(const std::string& name) const { return folder_ / (name + ".pem"); }
  TlsPaths server() const { return {path("server"), path("server-key"), ""}; }
  TlsPaths mutual() const { return {path("server"), path("server-key"), path("ca")}; }

  // Of a client that trusts this CA, and shows the certificate of `client`, if there is one.
  std::shared_ptr<grpc::ChannelCredentials> Credentials(const TestCa* client = nullptr) const {
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = Text(path("ca"));
    if (client != nullptr) {
      options.pem_cert_chain = Text(client->path("client"));
      options.pem_private_key = Text(client->path("client-key"));
    }
    return grpc::SslCredentials(options);
  }

 private:
  fs::path folder_;
};

// As a certificate manager does, in one step.
void Replace(const std::string& path, const std::string& text) {
  std::ofstream(path + ".new", std::ios::binary) << text;
  fs::rename(path + ".new", path);
}

class TlsTest : public testing::Test {
 protected:
  TlsTest() { RegisterProbe(registry_); }

  void Serve(const TlsPaths& tls, const TlsPaths& admin = {}) {
    Config config = TestConfig();
    config.server.tls = tls;
    config.admin.tls = admin;
    server_ = Server::Start(config, registry_).value();
  }
  void ServeUpstream(const UpstreamConfig& upstream) {
    Config config = TestConfig();
    config.upstreams = {upstream};
    front_ = Server::Start(config, nothing_).value();
  }

  static std::string Address(int port) { return absl::StrCat("127.0.0.1:", port); }
  // Over a connection of its own.
  static std::shared_ptr<grpc::Channel> Connect(
      int port, const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel(Address(port), credentials, arguments);
  }

  // A new connection's first call: whose certificate the server showed, as in "serves as
  // a.example", or "refused".
  template <class Service, class Request, class Response>
  static std::string Ask(int port, const std::shared_ptr<grpc::ChannelCredentials>& credentials,
                         grpc::Status (Service::Stub::*method)(grpc::ClientContext*, const Request&,
                                                               Response*)) {
    const auto stub = Service::NewStub(Connect(port, credentials));
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kPatience);
    Response response;
    const grpc::Status status = (stub.get()->*method)(&context, {}, &response);
    if (status.error_code() == grpc::StatusCode::UNAVAILABLE) return "refused";
    std::string told = absl::StrCat("serves as");
    for (const auto& name : context.auth_context()->FindPropertyValues("x509_common_name")) {
      absl::StrAppend(&told, " ", std::string(name.data(), name.size()));
    }
    return told;
  }
  // The data port, which answers that there is no session.
  std::string Data(const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
    return Ask<memo::v1::SessionService>(server_->port(), credentials,
                                         &memo::v1::SessionService::Stub::GetCacheInfo);
  }
  std::string Admin(const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
    return Ask<memo::v1::AdminService>(server_->admin_port(), credentials,
                                       &memo::v1::AdminService::Stub::ListMethods);
  }

  std::string StartError(const Config& config) {
    const auto started = Server::Start(config, registry_);
    const absl::Status checked = Server::Check(config, registry_);
    EXPECT_EQ(checked, started.status()) << "--check-config says what the start does";
    EXPECT_EQ(checked.code(), absl::StatusCode::kInvalidArgument);
    return std::string(checked.message());
  }

  const std::shared_ptr<grpc::ChannelCredentials> plaintext_ = grpc::InsecureChannelCredentials();
  Lab lab_;
  Registry registry_;
  const Registry nothing_;
  std::unique_ptr<Server> server_, front_;
};

TEST_F(TlsTest, ServesWhoTrustsItsCaAndNobodyInPlaintext) {
  const TestCa a("a.example"), b("b.example");
  Serve(a.server(), b.server());
  EXPECT_EQ(Data(a.Credentials()), "serves as a.example");
  EXPECT_EQ(Admin(b.Credentials()), "serves as b.example");
  EXPECT_EQ(Data(b.Credentials()), "refused") << "the client does not know its CA";
  EXPECT_EQ(Admin(a.Credentials()), "refused");
  EXPECT_EQ(Data(plaintext_), "refused");
  EXPECT_EQ(Admin(plaintext_), "refused");
}

TEST_F(TlsTest, EachPortHasItsOwnTlsOrNone) {
  const TestCa a("a.example");
  Serve({}, a.server());
  EXPECT_EQ(Data(plaintext_), "serves as");
  EXPECT_EQ(Data(a.Credentials()), "refused");
  EXPECT_EQ(Admin(a.Credentials()), "serves as a.example");
}

TEST_F(TlsTest, ClientCaLetsInOnlyWhoHasACertificateOfIt) {
  const TestCa a("a.example"), b("b.example");
  Serve(a.mutual(), a.mutual());
  EXPECT_EQ(Data(a.Credentials(&a)), "serves as a.example");
  EXPECT_EQ(Admin(a.Credentials(&a)), "serves as a.example");
  EXPECT_EQ(Data(a.Credentials()), "refused") << "no certificate";
  EXPECT_EQ(Admin(a.Credentials()), "refused");
  EXPECT_EQ(Data(a.Credentials(&b)), "refused") << "a certificate of another CA";
  EXPECT_EQ(Admin(a.Credentials(&b)), "refused");
}

TEST_F(TlsTest, RenewedCertificateIsForTheNextConnectionAndSessionsStayOpen) {
  const TestCa a("a.example"), b("b.example");
  Serve(a.mutual());
  ClientOptions options;
  options.credentials = a.Credentials(&a);
  const auto client = Client::Connect(Address(server_->port()), options).value();
  memo::testing::v1::ProbeState state;
  state.set_id("s");
  const SessionHandle session = client.OpenSession(state).value();
  EXPECT_EQ(Call(client.channel(), session.handle(), Request("x")).Words(), "miss s:x");

  Replace(a.path("server-key"), Text(b.path("server-key")));
  Replace(a.path("server"), Text(b.path("server")));
  EXPECT_EQ(Data(b.Credentials(&a)), "serves as b.example");
  EXPECT_EQ(Call(client.channel(), session.handle(), Request("x")).Words(), "hit s:x");
  EXPECT_TRUE(session.status().ok());

  const auto trusted = a.Credentials(&a), other = b.Credentials(&b);
  Replace(a.path("ca"), Text(b.path("ca")));
  EXPECT_EQ(Data(other), "serves as b.example") << "of the CA of now";
  EXPECT_EQ(Data(b.Credentials(&a)), "refused") << "of the CA of before";
  EXPECT_EQ(Call(client.channel(), session.handle(), Request("x")).Words(), "hit s:x");
}

TEST_F(TlsTest, FilesThatAreWrongLeaveThoseFromBeforeInUse) {
  const TestCa a("a.example"), b("b.example");
  Serve(a.mutual());
  const auto credentials = a.Credentials(&a), without = a.Credentials();
  const std::string certificate = Text(a.path("server")), key = Text(a.path("server-key"));
  const std::string ca = Text(a.path("ca"));
  const std::string half = certificate.substr(0, certificate.size() / 2);

  for (const std::string& wrong : {std::string(), std::string("garbage"), half, key}) {
    Replace(a.path("server"), wrong);
    EXPECT_EQ(Data(credentials), "serves as a.example") << wrong;
  }
  Replace(a.path("server"), Text(b.path("server")));
  EXPECT_EQ(Data(credentials), "serves as a.example") << "of another key";
  fs::remove(a.path("server"));
  EXPECT_EQ(Data(credentials), "serves as a.example") << "gone";
  Replace(a.path("server"), certificate);
  fs::remove(a.path("server-key"));
  EXPECT_EQ(Data(credentials), "serves as a.example") << "its key gone";
  Replace(a.path("server-key"), key);
  Replace(a.path("ca"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  EXPECT_EQ(Data(credentials), "serves as a.example") << "the client CA broken";
  EXPECT_EQ(Data(without), "refused") << "and its certificates are still asked for";

  Replace(a.path("ca"), ca);
  Replace(a.path("server"), Text(b.path("server")));
  Replace(a.path("server-key"), Text(b.path("server-key")));
  EXPECT_EQ(Data(b.Credentials(&a)), "serves as b.example") << "right again";
}

TEST_F(TlsTest, FilesThatAreWrongStopTheStartAndAreNamed) {
  const TestCa a("a.example"), b("b.example");
  Config config = TestConfig();
  const auto error = [&](const TlsPaths& tls) {
    config.server.tls = tls;
    return StartError(config);
  };
  EXPECT_EQ(error({"/nowhere/c.pem", a.path("server-key"), ""}),
            "server.tls_certificate: /nowhere/c.pem: No such file or directory");
  EXPECT_EQ(error({a.path("server"), "/nowhere/k.pem", ""}),
            "server.tls_key: /nowhere/k.pem: No such file or directory");
  EXPECT_EQ(error({a.path("server"), a.path("server-key"), "/nowhere/ca.pem"}),
            "server.tls_client_ca: /nowhere/ca.pem: No such file or directory");
  EXPECT_EQ(error({a.path("server-key"), a.path("server-key"), ""}),
            absl::StrCat("server.tls_certificate: ", a.path("server-key"),
                         ": holds no certificate in PEM"));
  EXPECT_EQ(error({a.path("server"), a.path("server"), ""}),
            absl::StrCat("server.tls_key: ", a.path("server"),
                         ": holds no private key in PEM without a passphrase"));
  EXPECT_EQ(error({a.path("server"), b.path("server-key"), ""}),
            absl::StrCat("server.tls_key: ", b.path("server-key"),
                         ": is not the key of server.tls_certificate: ", a.path("server")));
  EXPECT_EQ(error({"/", a.path("server-key"), ""}), "server.tls_certificate: /: Is a directory");
}

TEST_F(TlsTest, KeyWithAPassphraseIsRefusedAndNobodyIsAsked) {
  const TestCa a("a.example");
  const std::string locked = a.path("locked");
  const std::string command = absl::StrCat("openssl pkey -aes256 -passout pass:secret -in ",
                                           a.path("server-key"), " -out ", locked);
  ASSERT_EQ(std::system(command.c_str()), 0);
  Config config = TestConfig();
  config.admin.tls = {a.path("server"), locked, ""};
  EXPECT_EQ(StartError(config), absl::StrCat("admin.tls_key: ", locked,
                                             ": holds no private key in PEM without a passphrase"));
}

TEST_F(TlsTest, WrongFilesOfEverySectionAreToldAtOnce) {
  const TestCa a("a.example");
  Replace(a.path("empty"), "");
  Replace(a.path("second"), Text(a.path("ca")) + "-----BEGIN CERTIFICATE-----\n%\n");
  Config config = TestConfig();
  config.server.tls = {"/nowhere", a.path("server-key"), ""};
  UpstreamConfig upstream;
  upstream.name = "u";
  upstream.where = "memod.toml:7";
  upstream.target = "u:1";
  upstream.tls_ca = a.path("empty");
  upstream.tls_certificate = a.path("second");
  upstream.tls_key = a.path("client-key");
  config.upstreams = {upstream};
  EXPECT_EQ(
      StartError(config),
      absl::StrCat("server.tls_certificate: /nowhere: No such file or directory\n"
                   "memod.toml:7: upstream.tls_certificate: ",
                   a.path("second"), ": certificate 2 is broken\nmemod.toml:7: upstream.tls_ca: ",
                   a.path("empty"), ": holds no certificate in PEM"));
}

class UpstreamTlsTest : public TlsTest {
 protected:
  UpstreamConfig Upstream() const {
    UpstreamConfig upstream;
    upstream.name = "behind";
    upstream.target = Address(server_->port());
    return upstream;
  }
  // Of a call through memod, which the upstream answers.
  std::string Through() {
    const auto channel = Connect(front_->port(), plaintext_);
    Call call(channel, std::nullopt, Request("x"), {.method = kStatic});
    return call.Wait().status.ok() ? "answered" : call.Words();
  }
};

TEST_F(UpstreamTlsTest, IsCalledWithACertificateOfItsClientCa) {
  const TestCa a("a.example");
  Serve(a.mutual());
  UpstreamConfig upstream = Upstream();
  upstream.tls_ca = a.path("ca");
  upstream.tls_certificate = a.path("client");
  upstream.tls_key = a.path("client-key");
  ServeUpstream(upstream);
  EXPECT_EQ(Through(), "answered");
}

TEST_F(UpstreamTlsTest, ThatIsNotTheOneMeantIsNotCalled) {
  const TestCa a("a.example"), b("b.example");
  Serve(a.server());
  UpstreamConfig upstream = Upstream();
  ServeUpstream(upstream);
  EXPECT_EQ(Through(), "UNAVAILABLE UPSTREAM") << "plaintext";
  upstream.tls = true;
  ServeUpstream(upstream);
  EXPECT_EQ(Through(), "UNAVAILABLE UPSTREAM") << "no CA of the system's";
  upstream.tls_ca = b.path("ca");
  ServeUpstream(upstream);
  EXPECT_EQ(Through(), "UNAVAILABLE UPSTREAM") << "another CA";
  upstream.tls_ca = a.path("ca");
  upstream.tls_server_name = "b.example";
  ServeUpstream(upstream);
  EXPECT_EQ(Through(), "UNAVAILABLE UPSTREAM") << "another name";
  upstream.tls_server_name = "a.example";
  ServeUpstream(upstream);
  EXPECT_EQ(Through(), "answered");
}

TEST_F(UpstreamTlsTest, RenewedClientCertificateIsUsedForTheNextConnection) {
  const TestCa a("a.example"), b("b.example");
  Serve(a.mutual());
  UpstreamConfig upstream = Upstream();
  upstream.tls_ca = a.path("ca");
  upstream.tls_certificate = b.path("client");
  upstream.tls_key = b.path("client-key");
  ServeUpstream(upstream);
  EXPECT_EQ(Through(), "UNAVAILABLE UPSTREAM") << "a certificate of another CA";
  Replace(b.path("client"), Text(a.path("client")));
  Replace(b.path("client-key"), Text(a.path("client-key")));
  EXPECT_TRUE(Soon([&] { return Through(); }, "answered"));
}

}  // namespace
}  // namespace memod
