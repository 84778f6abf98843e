# What the set-up scripts share: messages, and Debian's packages.

say() { echo "setup: $*" >&2; }
fail() { echo "error: $*" >&2; exit 1; }

# Install Debian packages where that is possible without asking anyone: as root, through apt.
apt_install() {
  local what=$1; shift
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    fail "$what is missing; install it (Debian, Ubuntu: sudo apt-get install $*) and run make again"
  fi
  say "$what is missing: installing $* through apt"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@"; } >/dev/null ||
    fail "apt could not install $*; install $what by hand and run make again"
}
