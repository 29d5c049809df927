#!/usr/bin/env bash
# The workload of the demo, a bit more than a minute: one user compiles, one mistypes, a health check runs, jobs end
# badly, a backup is made, and after half the time the health check has a new command that is not installed.
# script/make-demo starts it in its own namespaces; every command is real.
#
#   demo-workload.bash          all of it; CGROUPS is the folder of the cgroups, and RUNNER the container of ci
#   demo-workload.bash PART     one user's part of it, as that user
set -u
cd /srv/shop || exit 1

health_check() { # www-data asks every second whether the shop is up
  local until=$((SECONDS + 70))
  while ((SECONDS < until)); do
    sh -c 'date +%s >/srv/tmp/health; test -s /srv/tmp/health && cut -c1-10 /srv/tmp/health'
    ((SECONDS < until - 30)) || sh -c 'shop-probe --once'
    sleep 1
  done
}

compile() { # ann builds the shop, changes something, builds it again
  local round
  make -s -j2 clean all
  for round in {1..11}; do
    sleep 5
    touch src/{basket,cart,order}.c
    make -s -j2
    ./run-tests --round "$round"
  done
}

mistakes() { # ben looks for the right command
  local command
  sleep 3
  for command in gti nodejs mvn shop-ctl; do
    env "$command" status
    sleep 3
  done
  env ./notes.txt
  sleep 2
  env ./old-report
  sleep 2
  git status --short
  git log --oneline | head -3
  grep -rn price src | wc -l
  cat /etc/shadow
  flock /srv/tmp/stock.lock sleep 6 &
  sleep 1
  flock /srv/tmp/stock.lock wc -l notes.txt # waits for the other
  for file in src/*.c; do wc -l "$file"; done | sort -n | tail -3
  sleep 5
  env gti commit
  sleep 1
  git commit -q --allow-empty -m 'Type slower'
  sleep 6
  awk '{ n += length($0) } END { print n }' src/*.c
}

accidents() { # jobs of ci: killed, crashed, out of time, failed
  sleep 8
  sleep 60 &
  sleep 2
  kill -KILL "$!"
  sleep 6
  ./crash
  sleep 5
  timeout 2 sleep 50
  sleep 6
  sh -c 'exit 3'
  sleep 6
  ./leak
  sleep 8
  bash -c 'kill -HUP $$'
}

deploy() { # ci runs a script of scripts
  sleep 22
  ./deploy.pl staging
  sleep 18
  ./deploy.pl production
}

nightly() { # root makes a backup and tidies up
  local log
  sleep 15
  tar -C /srv -czf /srv/tmp/shop.tar.gz shop
  sha256sum /srv/tmp/shop.tar.gz
  find src -name '*.o' -newer Makefile -exec stat -c %s {} +
  sleep 20
  for log in /srv/log/*.log; do gzip -f "$log"; done
  sleep 10
  find src -name '*.c' -exec md5sum {} \;
}

as() { # USER PART CGROUP
  (
    echo "$BASHPID" >"$CGROUPS/$3/cgroup.procs"
    exec setpriv --reuid "$1" --regid "$1" --clear-groups /usr/bin/env -i HOME="/home/$1" USER="$1" LANG=C.UTF-8 \
      PATH=/usr/local/bin:/usr/bin:/bin TMPDIR=/srv/tmp /bin/bash "$0" "$2"
  ) &
}

if (($#)); then
  "$1" >/dev/null 2>&1
else
  as www-data health_check system.slice/shop-health.service
  as ann compile user.slice/user-1000.slice/session-4.scope
  as ben mistakes user.slice/user-1001.slice/session-7.scope
  as ci accidents "$RUNNER"
  as ci deploy "$RUNNER"
  as root nightly system.slice/backup.service
  wait
fi
