# shellcheck shell=sh
# What enable, disable, install and remove have in common. They set `name`, the
# name to complain under, and `here`, the folder they lie in.
#
# No link that leads out of the site is followed: behind it may be another site,
# or files that several share.

fail() {
    # shellcheck disable=SC2154
    echo "$name: $1" >&2
    exit 1
}

wrong_usage() {
    echo "$name: $1 (try --help)" >&2
    exit 2
}

# Makes sure that this is a site of OMD, and that its files will be its own.
need_site() {
    [ -n "${OMD_ROOT:-}" ] || fail 'OMD_ROOT is not set; run this as the user of a site (su - SITE)'
    [ "$(id -u)" != 0 ] || fail 'root writes nothing into a site; run this as the user of the site (su - SITE)'
    [ -f "$OMD_ROOT/etc/omd/site.conf" ] || fail "$OMD_ROOT is no site of OMD: there is no etc/omd/site.conf"
    root=$(cd -P -- "$OMD_ROOT" && pwd) || fail "cannot enter $OMD_ROOT"
}

# Fails if a folder of the site, given below its root, leads out of it.
check_inside() {
    real=$(cd -P -- "$root/$1" && pwd) || fail "cannot enter $root/$1"
    case $real/ in
        "$root"/*) ;;
        *) fail "$root/$1 leads out of the site; nothing is done there" ;;
    esac
}

# Makes one folder below an existing one, if it is missing.
make_folder() {
    check_inside "$(dirname -- "$1")"
    [ -d "$root/$1" ] || mkdir -- "$root/$1" || fail "cannot make $root/$1"
    check_inside "$1"
}

# Writes standard input to a file of the site, whole or not at all.
put() {
    file=$root/$1
    check_inside "$(dirname -- "$1")"
    [ ! -L "$file" ] || fail "$file is a symbolic link; it is left alone"
    new=$(mktemp "$(dirname -- "$file")/.liveproxy.XXXXXX") || fail "cannot write beside $file"
    if cat >"$new" && chmod "$2" "$new" && mv -fT -- "$new" "$file"; then
        return
    fi
    rm -f -- "$new"
    fail "cannot write $file"
}

# Whether a file was put there by install.
is_ours() {
    [ -f "$1" ] && [ ! -L "$1" ] && head -n 5 -- "$1" | grep -q '^# Belongs to liveproxyd\.'
}

# Puts CONFIG_LIVEPROXY into etc/omd/site.conf; an empty value takes it out.
set_config() {
    conf=etc/omd/site.conf
    mode=$(stat -c %a -- "$root/$conf") || fail "cannot read $root/$conf"
    # Through a variable: nothing is written before all of it has been read.
    text=$(grep -v '^CONFIG_LIVEPROXY=' -- "$root/$conf")
    {
        [ -z "$text" ] || printf '%s\n' "$text"
        [ -z "$1" ] || printf "CONFIG_LIVEPROXY='%s'\n" "$1"
    } | put "$conf" "$mode" || exit 1
}
