# shellcheck shell=bash
# Install what a checkout needs: distribution packages, and the venv of ebpftop. Sourced by run, test and install.
#
# stdout is for the records of ebpftop, so all messages here go to stderr.

checkout=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
venv=$checkout/.venv
stamp=$venv/installed
# BCC's module is installed for the distribution's interpreter; one from pyenv, conda or a tool cache does not find it.
system_python=/usr/bin/python3

say() { printf 'script/%s: %s\n' "${0##*/}" "$*" >&2; }

die() { # STATUS MESSAGE...
  local status=$1
  shift
  say "$@"
  exit "$status"
}

# The name that this distribution's package manager gives to each need; - where it has none of its own.
#             apt-get           dnf               pacman
packages_of() {
  case $1:$2 in
    python:apt-get) echo python3 python3-venv ;;
    python:dnf) echo python3 ;;
    python:pacman) echo python ;;
    bcc:apt-get) echo python3-bpfcc ;;
    bcc:dnf) echo python3-bcc ;;
    bcc:pacman) echo python-bcc ;;
    gcc:apt-get) echo gcc libc6-dev ;;
    gcc:dnf) echo gcc glibc-devel ;;
    shellcheck:dnf) echo ShellCheck ;;
    perf:apt-get) echo linux-perf ;;
    bcc-tools:apt-get) echo bpfcc-tools ;;
    sshd:apt-get) echo openssh-server openssh-client ;;
    sshd:dnf) echo openssh-server openssh-clients ;;
    sshd:pacman) echo openssh ;;
    prometheus:dnf) echo golang-github-prometheus ;;
    bpftool:pacman) echo bpf ;;
    busybox:apt-get) echo busybox-static ;;
    qemu-system-aarch64:apt-get) echo qemu-system-arm ;;
    qemu-system-x86_64:*) echo qemu-system-x86 ;;
    depmod:*) echo kmod ;;
    udevadm:apt-get) echo udev ;;
    udevadm:dnf) echo systemd-udev ;;
    udevadm:pacman) echo systemd ;;
    *) echo "$1" ;;
  esac
}

package_manager() {
  local candidate
  for candidate in apt-get dnf pacman; do
    if command -v "$candidate" >/dev/null; then
      echo "$candidate"
      return
    fi
  done
  return 1
}

# Install the packages of NEED... or end with the reason. Package lists are only fetched if the first try failed.
install_needs() {
  local manager need names=()
  manager=$(package_manager) ||
    die 1 "neither apt-get, dnf nor pacman is here; install what gives '$*' to $system_python by hand and run this again"
  for need in "$@"; do
    read -ra names_of_need <<<"$(packages_of "$need" "$manager")"
    names+=("${names_of_need[@]}")
  done
  [[ $EUID -eq 0 ]] || die 3 "${names[*]} must be installed first, with $manager and as root"
  say "installing with $manager: ${names[*]}"
  case $manager in
    apt-get) apt_install "${names[@]}" ;;
    dnf) dnf install -y "${names[@]}" </dev/null >&2 ;;
    pacman) pacman -S --needed --noconfirm "${names[@]}" </dev/null >&2 || pacman -Sy --needed --noconfirm "${names[@]}" </dev/null >&2 ;;
  esac || die 1 "$manager could not install ${names[*]} (its own words are above); install them by hand and run this again"
}

apt_install() {
  local install=(env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 install -y -q --no-install-recommends)
  "${install[@]}" "$@" </dev/null >&2 && return
  say "fetching the package lists: the packages were not found in those at hand"
  apt-get -q update </dev/null >&2 || say "apt-get update reported an error; trying with what it fetched"
  "${install[@]}" "$@" </dev/null >&2
}

has_venv_module() { "$system_python" -I -c 'import venv' 2>/dev/null && { has_ensurepip || has_pip; }; }
# In Debian it has its own package, python3-venv. Without it, the pip of the distribution works as well.
has_ensurepip() { "$system_python" -I -c 'import ensurepip' 2>/dev/null; }
has_pip() { "$system_python" -I -m pip --python "$system_python" --version >/dev/null 2>&1; }
has_bcc() { "$system_python" -I -c 'from bcc import BPF' 2>/dev/null; }

# What an installation depends on: its dependencies, which Python, and where the checkout is.
installation_key() {
  local hash
  hash=$(sha256sum <"$checkout/pyproject.toml")
  printf '%s %s %s' "${hash%% *}" "$(readlink -f -- "$system_python")" "$checkout"
}

# True if the venv has this checkout with EXTRAS ("" or some of pyproject.toml's), and if BCC, if needed, is still in
# its place. Fast, for every start.
is_installed() { # EXTRAS bcc|no-bcc
  local key extras bcc
  [[ -r $stamp ]] || return
  { read -r key && read -r extras && read -r bcc; } <"$stamp" || return
  [[ $key == "$(installation_key)" && (-z $1 || $extras == "$1") && ($2 == no-bcc || -e $bcc) ]]
}

# The owner of the checkout: root creates files in it as that user, who can then change and remove them.
owner=$(stat -c %u -- "$checkout")

as_owner() { # COMMAND...
  if [[ $EUID -eq 0 && $owner -ne 0 ]]; then
    local home
    home=$(getent passwd "$owner" | cut -d: -f6)
    setpriv --reuid "$owner" --regid "$(stat -c %g -- "$checkout")" --clear-groups env HOME="${home:-/nonexistent}" "$@"
  else
    "$@"
  fi
}

# Print who besides root may change the programs that a start from this checkout runs; false if nobody may.
who_else_may_write() {
  local path
  for path in "$checkout" "$checkout"/{src,bpf,script,.venv}; do
    [[ -e $path ]] || continue
    if [[ $(stat -c %u -- "$path") -ne 0 ]]; then
      stat -c %U -- "$path"
      return
    elif [[ $(stat -c %A -- "$path") == ?????w* || $(stat -c %A -- "$path") == ????????w* ]]; then
      echo "others than the owner of $path"
      return
    fi
  done
  return 1
}

# Make the venv and install this checkout into it, even after an earlier failed try. One at a time for a checkout.
install_checkout() { # EXTRAS bcc|no-bcc
  local lock mask
  exec {lock}<"$checkout"
  flock "$lock"
  if ! is_installed "$1" "$2"; then
    mask=$(umask)
    umask 022
    install_locked "$1" "$2"
    umask "$mask"
  fi
  exec {lock}<&-
}

# Install the distribution's packages that are missing, or end with the reason.
install_system_needs() { # bcc|no-bcc
  local missing=()
  { [[ -x $system_python ]] && has_venv_module; } || missing+=(python)
  [[ $1 == no-bcc ]] || { [[ -x $system_python ]] && has_bcc; } || missing+=(bcc)
  ((${#missing[@]} == 0)) || install_needs "${missing[@]}"
  has_venv_module || die 1 "$system_python still has no venv module; install it (python3-venv) and run this again"
  [[ $1 == no-bcc ]] || has_bcc ||
    die 1 "$system_python still cannot import bcc; install BCC's Python module for it and run this again"
  "$system_python" -I -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    die 1 "$system_python is older than Python 3.10, which ebpftop needs; use a newer release of this distribution"
}

# Packages in a user's ~/.local would satisfy pip, but be missing for all other users.
clean_python=(env -u PYTHONDONTWRITEBYTECODE -u PYTHONPYCACHEPREFIX -u PYTHONPATH PYTHONNOUSERSITE=1)
# pip prints each package that it fetches: otherwise a slow network looks like a hang.
pip_options=(--progress-bar off --no-compile --no-input --disable-pip-version-check --root-user-action=ignore)

# The command that installs into VENV: its own pip, or the distribution's if Python has no ensurepip.
pip_of() { # VENV
  if has_ensurepip; then
    pip=("$1/bin/python" -I -m pip)
  else
    pip=("$system_python" -I -m pip --python "$1/bin/python")
  fi
}

# Make a venv that can use the distribution's packages, because BCC is one of them.
make_venv() { # VENV
  local with_pip=()
  has_ensurepip || with_pip=(--without-pip)
  as_owner "$system_python" -I -m venv --clear --system-site-packages "${with_pip[@]}" "$1" >&2 ||
    die 1 "could not make $1 (reason above)"
}

install_locked() { # EXTRAS bcc|no-bcc
  local pip bcc
  install_system_needs "$2"
  [[ $EUID -eq 0 || -w $checkout ]] ||
    die 1 "$checkout belongs to $(stat -c %U -- "$checkout"), so $venv cannot be made; run as that user, or in a copy of your own"

  # A venv without a stamp is incomplete. One for another Python or another place does not work, and one of another user
  # cannot be changed. If only pyproject.toml changed, install into the existing venv.
  local python='' place=''
  if [[ -r $stamp ]]; then
    read -r _ python place <"$stamp"
    rm -f -- "$stamp"
  fi
  if [[ -e $venv && $(stat -c %u -- "$venv") != "$owner" ]]; then
    python=''
    rm -rf -- "$venv" || die 1 "$venv is another user's; remove it as root and run this again"
  fi
  if [[ $python != "$(readlink -f -- "$system_python")" || $place != "$checkout" ]]; then
    say "making a Python environment in $venv"
    make_venv "$venv"
  fi
  say "installing ebpftop${1:+ with [$1]} and its Python packages into $venv"
  pip_of "$venv"
  as_owner "${clean_python[@]}" "${pip[@]}" install "${pip_options[@]}" --editable "$checkout${1:+[$1]}" </dev/null >&2 ||
    die 1 "pip could not install ebpftop's Python packages (its own words are above); is the package index reachable?"
  say "compiling the Python files, so that each start is quick"
  # Importing the screen takes four times as long without compiled files.
  as_owner "${clean_python[@]}" "$venv/bin/python" -m compileall -q -j 0 "$venv/lib" "$checkout/src" >&2 ||
    say "some Python files could not be compiled; ebpftop starts slower"
  bcc=$("$system_python" -I -c 'import importlib.util as u; s = u.find_spec("bcc"); print(s and s.origin or "-")')
  # shellcheck disable=SC2016  # the inner shell must expand it
  as_owner bash -c 'printf "%s\n" "${@:2}" >"$1.new" && mv -- "$1.new" "$1"' - "$stamp" "$(installation_key)" "$1" "$bcc"
}
