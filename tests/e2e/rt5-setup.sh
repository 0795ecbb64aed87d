#!/bin/bash
# A real Request Tracker 5 for tests, from the Debian packages: SQLite and RT's own small server, no Apache, no systemd,
# no mail. Listens on 127.0.0.1 only and leaves /etc/request-tracker5 alone. Tried with Debian 12 (RT 5.0.3).
#
#   rt5-setup.sh [all|install|init|start|stop|reset|status|wipe]        default: all = install, init, start
#
#   install  apt-get the packages, unless they are there                          needs root
#   init     configuration, database, queues, fields, people, approvals           skipped when done
#   start    start the server and wait until it answers                           skipped when it answers
#   stop     stop it, workers included
#   reset    put the database back to what `init` made; the server may run (about 20 ms)
#   status   whether it runs and answers
#   wipe     stop it and remove $RT5_HOME
#
# Environment: RT5_HOME (/var/tmp/rt5), RT5_PORT (8181), RT5_WORKERS (4). For `init` also RT5_NUDGE_URL: where a scrip
# tells of changed tickets; its token is then in $RT5_HOME/nudge.token.
# Results: $RT5_HOME/rt5.json (address, names, a token for each person), server.log, init.log, var/*.mbox (its mails).
#
# Only `install` needs root. As root the server runs as www-data, otherwise as whoever calls.
set -euo pipefail
RT5_HOME=${RT5_HOME:-/var/tmp/rt5}
RT5_PORT=${RT5_PORT:-8181}
RT5_WORKERS=${RT5_WORKERS:-4}
BASE="http://127.0.0.1:$RT5_PORT"
SERVER=/usr/share/request-tracker5/libexec/rt-server
SETUP_DATABASE=/usr/sbin/rt-setup-database-5
PAGE="$(cd "$(dirname "$0")/../.." && pwd)/docs/psa/requesttracker.md"
export LC_ALL=C.UTF-8
# RT reads these two instead of /etc/request-tracker5.
export RT_SITE_CONFIG="$RT5_HOME/site.pm" RT_SITE_CONFIG_DIR="$RT5_HOME/none"
unset http_proxy HTTP_PROXY

say() { echo "rt5-setup: $*" >&2; }
die() { say "ERROR: $*"; exit 1; }

if [ "$(id -u)" = 0 ]; then RUN_AS=(runuser -u www-data --); else RUN_AS=(); fi

# The status of a GET, with nothing but Perl's own modules (RT brings Perl; curl may be missing); 599 for no answer.
code() {
  perl -MHTTP::Tiny -e '
    my $answer = HTTP::Tiny->new(timeout => 10, proxy => undef, http_proxy => undef)
      ->get($ARGV[0], { headers => { Authorization => "token $ARGV[1]" } });
    print $answer->{status}' "$1" "${2:-}" 2>/dev/null || echo 000
}

token() { perl -MJSON::PP -0ne 'print decode_json($_)->{tokens}{"'"$1"'"}' "$RT5_HOME/rt5.json" 2>/dev/null || true; }

# The server's process id, if that process is still our server (ids are used again).
pid() {
  local id
  id=$(cat "$RT5_HOME/server.pid" 2>/dev/null) || return 1
  [ -n "$id" ] && tr '\0' ' ' <"/proc/$id/cmdline" 2>/dev/null | grep -q "rt-server.*--port $RT5_PORT" && echo "$id"
}

# Every process of this instance, known by its own environment: the workers of a killed parent keep the port.
mine() {
  perl -e 'for my $dir (grep { $_ ne "/proc/$$" } glob "/proc/[0-9]*") {
    local $/;
    open my $command, "<", "$dir/cmdline" or next;
    (my $line = <$command> // "") =~ tr/\0/ /;
    next unless $line =~ m{/rt-server --host} && $line !~ /^runuser/;
    open my $environment, "<", "$dir/environ" or next;
    $dir =~ s{.*/}{};
    print "$dir " if grep { $_ eq $ARGV[0] } split /\0/, <$environment> // "";
  }' "RT_SITE_CONFIG=$RT5_HOME/site.pm"
}

do_install() {
  if [ -x "$SERVER" ] && dpkg-query -W -f='${Status}' rt5-db-sqlite 2>/dev/null | grep -q 'ok installed'; then
    say "the packages are installed"
    return
  fi
  [ "$(id -u)" = 0 ] || die "install needs root"
  export DEBIAN_FRONTEND=noninteractive
  local log mta=()
  log=$(mktemp)
  apt-get update -qq
  # RT wants some mail server and would take exim4. This is the smallest one, and never started: RT writes to files.
  apt-get -s --no-install-recommends install request-tracker5 2>/dev/null | grep -q '^Inst exim4' && mta=(msmtp-mta)
  # dbconfig-no-thanks: otherwise the package asks for a database of its own.
  apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold \
    -o Dpkg::Use-Pty=0 request-tracker5 rt5-standalone rt5-db-sqlite dbconfig-no-thanks "${mta[@]}" >"$log" 2>&1 ||
    { tail -30 "$log" >&2; die "apt-get install failed"; }
  rm -f "$log"
  say "installed $(dpkg-query -W -f='${Package} ${Version}' request-tracker5)"
}

# A block of code of the page for admins, the one in which $1 stands: what is tried is what they are told.
page_block() {
  perl -0777 -e 'my ($wanted, $page) = ($ARGV[0], <STDIN>);
    while ($page =~ /^( *)```\w*\n(.*?)^\1```/msg) {
      my ($indent, $block) = ($1, $2);
      next if index($block, $wanted) < 0;
      $block =~ s/^$indent//mg;
      print $block; exit 0;
    }
    die "the page has no block with $wanted\n"' "$1" <"$PAGE"
}

# The life cycle of the page, and a second one of the same statuses in which a resolved ticket stays resolved.
with_a_sealed_life_cycle() {
  perl -0777 -pe 'my ($own) = /(  resets => \{.*?\n  \},\n)/s or die "the page has no life cycle resets\n";
    $own =~ s/resets/sealed/;
    $own =~ s/qw\(resolved (rejected[^)]*)\)(?=\n\s*\},)/qw($1)/ or die "the page lists its transitions otherwise\n";
    s/\);\s*\z/$own);\n/'
}

write_config() {
  cat >"$RT5_HOME/site.pm" <<END_OF_CONFIG
package RT;
use utf8;
Set(\$rtname, 'rt.example');
Set(\$Organization, 'rt.example');
Set(\$WebDomain, '127.0.0.1');
Set(\$WebPort, $RT5_PORT);                    # part of every address in its answers, so fixed from here on
Set(\$WebPath, '');
Set(\$Timezone, 'UTC');
Set(\$DatabaseType, 'SQLite');
Set(\$DatabaseName, '$RT5_HOME/rt5.sqlite');
Set(\$BcryptCost, 4);                         # a token is checked with bcrypt on every request: 12 costs 212 ms each
Set(\$MailCommand, 'mbox');                   # mails go to $RT5_HOME/var/*.mbox
Set(\$CorrespondAddress, 'rt\@rt.example');
Set(\$CommentAddress, 'rt-comment\@rt.example');
Set(\$LogToSyslog, undef);
Set(\$LogToSTDERR, 'warning');
Set(\$ConnectorURL, '${RT5_NUDGE_URL:-}');
Set(\$ConnectorTokenFile, '$RT5_HOME/nudge.token');
$(page_block 'Set(%Lifecycles' | sed 's/rejected deleted/rejected cancelled deleted/' | with_a_sealed_life_cycle)
\$VarPath = '$RT5_HOME/var';
\$MasonDataDir = '$RT5_HOME/mason';
\$MasonSessionDir = '$RT5_HOME/session';
1;
END_OF_CONFIG
}

write_seed() {
  cat >"$RT5_HOME/seed.pl" <<'END_OF_SEED'
use strict; use warnings; use utf8;
our (@Users, @Groups, @Queues, @CustomFields, @ACL, @Templates, @Scrips, @Final);

my @people = (    # name, real name, privileged, time zone
  ['svc-reset',      'Reset connector (API)',             1, ''],
  ['svc-reset-cph',  'Reset connector, Copenhagen (API)', 1, 'Europe/Copenhagen'],
  ['hanna.helpdesk', 'Hanna Helpdesk',                    1, ''],
  ['anna.approver',  'Anna Approver',                     1, ''],
  ['bob.approver',   'Bob Approver',                      1, ''],
  ['otto.outsider',  'Otto Outsider',                     1, ''],
  ['rita.requester', 'Rita Requester',                    0, ''],
  ['mona.manager',   'Mona Manager',                      0, ''],
);
push @Users, map { { Name => $_->[0], RealName => $_->[1], EmailAddress => "$_->[0]\@contoso.example",
                     Privileged => $_->[2], ($_->[3] ? (Timezone => $_->[3]) : ()) } } @people;

push @Groups,
  { Name => 'Reset Connectors', Description => 'API users',          Members => { Users => ['svc-reset', 'svc-reset-cph'] } },
  { Name => 'Reset Approvers',  Description => 'may approve resets', Members => { Users => ['anna.approver', 'bob.approver'] } },
  { Name => 'Helpdesk',         Description => 'agents',             Members => { Users => ['hanna.helpdesk'] } };

my $odd = "O'Brien \\ Sons";    # a name that must be escaped in a query
push @Queues,
  { Name => 'Service Desk', Description => 'Password and MFA resets', Lifecycle => 'resets' },
  { Name => $odd,           Description => 'a second customer',       Lifecycle => 'resets' },
  { Name => 'Facilities',   Description => 'the connector may not see it', Lifecycle => 'resets' };

my @ours = ('Service Desk', $odd);
push @CustomFields,
  { Name => 'Request type', Type => 'SelectSingle', LookupType => 'RT::Queue-RT::Ticket', ApplyTo => [@ours],
    RenderType => 'Dropdown',
    Values => [ { Name => 'Password reset', SortOrder => 1 }, { Name => 'MFA reset', SortOrder => 2 },
                { Name => 'Password and MFA reset', SortOrder => 3 }, { Name => 'Other', SortOrder => 4 } ] },
  { Name => 'Target user', Description => 'UPN', Type => 'FreeformSingle', LookupType => 'RT::Queue-RT::Ticket',
    ApplyTo => [@ours] },
  { Name => 'Reason', Type => 'FreeformSingle', LookupType => 'RT::Queue-RT::Ticket', ApplyTo => [@ours] },
  # Names that must be escaped in a query, or cannot be written in one at all.
  { Name => q{What's "it" \\ about}, Type => 'FreeformMultiple', LookupType => 'RT::Queue-RT::Ticket', ApplyTo => [$odd] },
  { Name => q{Set {of} braces}, Type => 'FreeformSingle', LookupType => 'RT::Queue-RT::Ticket', ApplyTo => [$odd] };

# Cut out of the page for admins: what is tried is what they are told.
sub code {
  my ($part) = @_;
  open my $file, '<:encoding(UTF-8)', "$ENV{RT5_CODE}/$part" or die "$part: $!";
  local $/;
  return <$file>;
}

sub grant { my ($queue, $who, @rights) = @_; push @ACL, map { { Right => $_, ($queue ? (Queue => $queue) : ()), %$who } } @rights }
my $group = sub { +{ GroupDomain => 'UserDefined', GroupId => $_[0] } };
my @see = qw(SeeQueue ShowTicket ShowTicketComments SeeCustomField);
for my $queue (@ours) {
  grant($queue, $group->('Reset Connectors'), @see,
        qw(CommentOnTicket ReplyToTicket ModifyTicket OwnTicket TakeTicket StealTicket));
  grant($queue, $group->('Helpdesk'), @see,
        qw(CreateTicket CommentOnTicket ReplyToTicket ModifyTicket OwnTicket TakeTicket ModifyCustomField SetInitialCustomField));
  grant($queue, $group->('Reset Approvers'), @see, qw(CreateTicket SetInitialCustomField));
}
# Read only: the connector can look at approvals, and never approve.
grant('___Approvals', $group->('Reset Connectors'), qw(SeeQueue ShowTicket ShowTicketComments));
# To know who is asked, and to remind them. Everywhere here; on the group of approvers alone is enough.
grant(undef, $group->('Reset Connectors'), 'SeeGroup');
grant('Facilities', $group->('Helpdesk'), @see, qw(CreateTicket ModifyTicket));
grant('___Approvals', { GroupDomain => 'RT::Queue-Role', GroupType => 'AdminCc' },
      qw(SeeQueue ShowTicket ShowTicketComments ReplyToTicket CommentOnTicket ModifyTicket));

# RT's own approvals: when a ticket is created, one is created in ___Approvals on which it depends. The values are put
# on one line: a line break in a field could otherwise add lines to this template, another approver for instance.
# See docs/psa/requesttracker.md.
for my $queue (@ours) {
  push @Templates, { Queue => $queue, Name => 'create approval', Type => 'Perl', Content => code('template') };
  push @Scrips, { Queue => $queue, Description => 'On create: create approval',
                  ScripCondition => 'On Create', ScripAction => 'Create Tickets', Template => 'create approval' };
}

# What docs/psa/requesttracker.md has an admin make: RT tells the connector which tickets changed. Global, in the stage
# "Batch", so that it runs after the change is written down.
if ($ENV{RT5_NUDGE_URL}) {
  push @Scrips, { Description => 'Tell the connector', Stage => 'TransactionBatch', Template => 'Blank',
                  ScripCondition => 'User Defined', CustomIsApplicableCode => code('condition'),
                  ScripAction => 'User Defined', CustomPrepareCode => 'return 1;', CustomCommitCode => code('action') };
}

push @Final, sub {
  my %tokens;
  for my $name ('root', grep { $_ !~ /requester|manager/ } map { $_->[0] } @people) {
    my $user = RT::User->new(RT->SystemUser); $user->Load($name); die "no user $name" unless $user->id;
    my ($ok, $message, $token) = RT::AuthToken->new(RT->SystemUser)->Create(Owner => $user->id, Description => 'tests');
    die "$name: $message" unless $ok;
    $tokens{$name} = $token;
  }
  my $queue = RT::Queue->new(RT->SystemUser); $queue->Load('Service Desk');
  my %fields;
  for my $name ('Request type', 'Target user', 'Reason') {
    my $field = RT::CustomField->new(RT->SystemUser); $field->LoadByName(Name => $name, Queue => $queue->id);
    die "no field $name" unless $field->id;
    $fields{$name} = $field->id + 0;
  }
  (my $home = $ENV{RT_SITE_CONFIG}) =~ s{/site\.pm$}{};
  umask 077;
  open my $file, '>', "$home/rt5.json.new" or die $!;
  print $file JSON::to_json({ base_url => 'http://127.0.0.1:' . RT->Config->Get('WebPort'), version => $RT::VERSION,
    queue => 'Service Desk', queue_id => $queue->id + 0, custom_fields => \%fields, tokens => \%tokens },
    { pretty => 1, canonical => 1 });
  close $file or die $!;
  rename "$home/rt5.json.new", "$home/rt5.json" or die $!;
};
1;
END_OF_SEED
}

do_init() {
  if [ -e "$RT5_HOME/.ready" ]; then
    [ "$(cat "$RT5_HOME/.ready")" = "$RT5_PORT" ] || die "$RT5_HOME is for port $(cat "$RT5_HOME/.ready"): wipe it first"
    say "initialised already: $RT5_HOME"
    return
  fi
  [ -x "$SERVER" ] || die "Request Tracker is not installed: run '$0 install' as root"
  do_stop
  rm -rf "$RT5_HOME"
  mkdir -p "$RT5_HOME"/{var,mason,session}
  chmod 711 "$RT5_HOME"
  write_config
  write_seed
  # Made here and used by nobody.
  head -c 18 /dev/urandom | base64 | tr -d '\n/+=' >"$RT5_HOME/root.pw"
  head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$RT5_HOME/nudge.token"
  chmod 600 "$RT5_HOME/root.pw" "$RT5_HOME/nudge.token"
  mkdir "$RT5_HOME/code"
  page_block '===Create-Ticket' >"$RT5_HOME/code/template"
  page_block "'___Approvals');" >"$RT5_HOME/code/condition"
  page_block 'LWP::UserAgent' >"$RT5_HOME/code/action"
  [ "$(id -u)" != 0 ] || chown -R www-data: "$RT5_HOME"
  local log="$RT5_HOME/init.log"
  : >"$log"
  (cd "$RT5_HOME"; umask 077
   "${RUN_AS[@]}" "$SETUP_DATABASE" --action init --root-password-file "$RT5_HOME/root.pw" &&
   RT5_CODE="$RT5_HOME/code" "${RUN_AS[@]}" "$SETUP_DATABASE" --action insert --datafile "$RT5_HOME/seed.pl" --skip-create) >>"$log" 2>&1 ||
    { tail "$log" >&2; die "making the database failed"; }
  # A row that RT rejects (a misspelt right, say) is only logged, with exit code 0.
  if grep -E '\[(error|critical|alert|emergency)\]' "$log" >&2; then die "the seed was not taken as it is: $log"; fi
  [ -s "$RT5_HOME/rt5.json" ] || { tail "$log" >&2; die "the seed wrote no tokens"; }
  cp -p "$RT5_HOME/rt5.sqlite" "$RT5_HOME/seed.sqlite"
  echo "$RT5_PORT" >"$RT5_HOME/.ready"
  say "initialised $RT5_HOME"
}

do_start() {
  local own status=000
  own=$(token svc-reset)
  [ -n "$own" ] || die "not initialised"
  if pid >/dev/null && [ "$(code "$BASE/REST/2.0/rt" "$own")" = 200 ]; then say "running already, pid $(pid)"; return; fi
  do_stop
  if perl -MIO::Socket::INET -e 'exit(IO::Socket::INET->new("127.0.0.1:'"$RT5_PORT"'") ? 0 : 1)'; then
    die "port $RT5_PORT is in use"
  fi
  # --max-reqs-per-child: by default workers end after 100 requests, which can cut short what RT does after an answer
  # (opening approvals, for example).
  ( cd "$RT5_HOME"; umask 077
    exec setsid "${RUN_AS[@]}" /bin/sh -c 'echo $$ >"$0/server.pid"; exec "$@"' "$RT5_HOME" \
      "$SERVER" --host 127.0.0.1 --port "$RT5_PORT" --max-workers "$RT5_WORKERS" --max-reqs-per-child 100000
  ) >>"$RT5_HOME/server.log" 2>&1 </dev/null &
  for _ in $(seq 300); do
    status=$(code "$BASE/REST/2.0/rt" "$own")
    [ "$status" = 200 ] && break
    sleep 0.1
  done
  [ "$status" = 200 ] || { tail "$RT5_HOME/server.log" >&2; do_stop; die "no answer from $BASE (last: $status)"; }
  say "running at $BASE, pid $(pid)"
}

do_stop() {
  local id="" left=""
  if id=$(pid); then kill -TERM "$id" 2>/dev/null || true; fi # ends its workers, too
  for _ in $(seq 30); do
    left=$(mine)
    [ -z "$left" ] && break
    sleep 0.1
  done
  if [ -n "$left" ]; then
    # shellcheck disable=SC2086 # a list of ids
    kill -TERM $left 2>/dev/null || true
    sleep 1
    left=$(mine)
    # shellcheck disable=SC2086
    [ -z "$left" ] || kill -KILL $left 2>/dev/null || true
  fi
  rm -f "$RT5_HOME/server.pid"
  [ -z "$id" ] || say "stopped pid $id"
}

# SQLite's online restore: open connections see the seeded database at once.
do_reset() {
  [ -e "$RT5_HOME/seed.sqlite" ] || die "not initialised"
  "${RUN_AS[@]}" sqlite3 -cmd ".timeout 30000" "$RT5_HOME/rt5.sqlite" ".restore $RT5_HOME/seed.sqlite"
  rm -f "$RT5_HOME"/var/*.mbox
}

do_status() {
  local id
  if id=$(pid); then echo "pid $id, HTTP $(code "$BASE/REST/2.0/rt" "$(token svc-reset)")"; else echo stopped; return 3; fi
}

case "${1:-all}" in
  all) do_install; do_init; do_start ;;
  install) do_install ;;
  init) do_init ;;
  start) do_start ;;
  stop) do_stop ;;
  reset) do_reset ;;
  status) do_status ;;
  wipe) do_stop; rm -rf "$RT5_HOME" ;;
  *) die "unknown: $1" ;;
esac
