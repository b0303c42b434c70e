#include "memod/client/memoctl/screen.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <string_view>

namespace memod {
namespace {

constexpr char kCtrlC = 3;
constexpr char kCtrlZ = 26;

// Alternate screen, no cursor, no wrapping of long lines; and back.
constexpr std::string_view kEnter = "\x1b[?1049h\x1b[?25l\x1b[?7l";
constexpr std::string_view kLeave = "\x1b[?7h\x1b[?25h\x1b[?1049l";
// Shown at once by terminals that know synchronized output.
constexpr std::string_view kFrameBegin = "\x1b[?2026h\x1b[H";
constexpr std::string_view kFrameEnd = "\x1b[?2026l";
// Before a line is written: after one that fills the row it would take the last character with it.
constexpr std::string_view kEraseLine = "\x1b[K";
constexpr std::string_view kEraseBelow = "\x1b[J";

constexpr std::array kSignals = {SIGINT, SIGTERM, SIGHUP, SIGWINCH};

// Signal handlers know no `this`.
volatile sig_atomic_t quit = 0;
volatile sig_atomic_t resized = 0;
int wake = -1;
std::array<struct sigaction, kSignals.size()> former_actions;
termios former_modes;

void OnSignal(int signal) {
  const int error = errno;
  (signal == SIGWINCH ? resized : quit) = 1;
  eventfd_write(wake, 1);
  errno = error;
}

void Write(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(STDOUT_FILENO, text.data(), text.size());
    if (written < 0 && errno != EINTR && errno != EAGAIN) return;
    if (written > 0) text.remove_prefix(written);
  }
}

}  // namespace

bool Screen::IsThere() {
  const char* term = std::getenv("TERM");
  return isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && term != nullptr &&
         std::string_view(term) != "dumb";
}

bool Screen::HasColors() {
  const char* no_color = std::getenv("NO_COLOR");
  return no_color == nullptr || *no_color == '\0';
}

Screen::Screen() {
  quit = 0;
  resized = 0;
  wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  tcgetattr(STDIN_FILENO, &former_modes);
  struct sigaction action = {};
  action.sa_handler = OnSignal;
  for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &action, &former_actions[i]);
  Enter();
}

Screen::~Screen() {
  Leave();
  for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &former_actions[i], nullptr);
  close(wake);
}

void Screen::Enter() {
  termios modes = former_modes;
  // Ctrl-C and Ctrl-Z come as keys, so that the terminal is given back first.
  modes.c_lflag &= ~(ICANON | ECHO | ISIG);
  modes.c_cc[VMIN] = 1;
  modes.c_cc[VTIME] = 0;
  tcsetattr(STDIN_FILENO, TCSADRAIN, &modes);
  Write(kEnter);
}

void Screen::Leave() {
  Write(kLeave);
  // What was typed and not read is not left to the shell.
  tcsetattr(STDIN_FILENO, TCSAFLUSH, &former_modes);
}

Screen::Size Screen::size() const {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0) {
    return {};
  }
  return {size.ws_row, size.ws_col};
}

void Screen::Draw(const std::string& frame) {
  const size_t rows = size().rows;
  size_t row = 0;
  std::string text(kFrameBegin);
  for (std::string_view rest(frame); row < rows && !rest.empty(); ++row) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    if (row > 0) text += "\r\n";
    text += kEraseLine;
    text += rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  if (row < rows) text.append("\r\n").append(kEraseBelow);
  Write(text.append(kFrameEnd));
}

Screen::Event Screen::Wait(int file) {
  while (true) {
    std::array<pollfd, 3> files = {
        {{STDIN_FILENO, POLLIN, 0}, {wake, POLLIN, 0}, {file, POLLIN, 0}}};
    if (poll(files.data(), files.size(), -1) < 0 && errno != EINTR) return Event::kQuit;
    eventfd_t count;
    eventfd_read(wake, &count);
    if (quit != 0) return Event::kQuit;
    if (resized != 0) {
      resized = 0;
      return Event::kResize;
    }
    if (files[0].revents != 0) return ReadKey();
    if (files[2].revents != 0) return Event::kReady;
  }
}

Screen::Event Screen::ReadKey() {
  const ssize_t size = read(STDIN_FILENO, &key_, 1);
  if (size < 0 && errno == EINTR) return Event::kResize;
  if (size <= 0 || key_ == 'q' || key_ == kCtrlC) return Event::kQuit;
  if (key_ != kCtrlZ) return Event::kKey;
  Leave();
  kill(0, SIGTSTP);
  Enter();
  return Event::kResize;
}

}  // namespace memod
