# Drives Debian's Monitoring::Livestatus and Monitoring::Livestatus::Class.
#
# Arguments: the way to ask (plain, keepalive or class) and the socket. Each line
# of the input is one step, its fields separated by tabs:
#   query TABLE COLUMNS FILTER      (an empty FILTER means none)
#   acknowledge HOST;SERVICE
# Each step is answered with one line: "rows JSON", "sent" or "error TEXT", the
# second field behind a tab.

use strict;
use warnings;

use Cpanel::JSON::XS ();
use Monitoring::Livestatus ();
use Monitoring::Livestatus::Class ();

# Every table that the module knows exists everywhere; a missing one has to be
# made up.
package Monitoring::Livestatus::Class::Table::Nothing;
use Moose;
extends 'Monitoring::Livestatus::Class::Base::Table';
sub build_table_name   { return 'nothing' }
sub build_primary_keys { return ['name'] }

package main;

my ($way, $socket) = @ARGV;
my $class  = Monitoring::Livestatus::Class->new(peer => $socket);
my $client = $way eq 'class'
    ? $class->backend_obj
    : Monitoring::Livestatus->new(peer => $socket, keepalive => $way eq 'keepalive');
my $json = Cpanel::JSON::XS->new->utf8->canonical;

sub ask_with_text {
    my ($table, $columns, $filter) = @_;
    my $text = "GET $table\nColumns: $columns\n";
    $text .= "Filter: $filter\n" if $filter ne '';
    return $client->selectall_arrayref($text);
}

sub ask_with_class {
    my ($table, $columns, $filter) = @_;
    my $query = $class->table($table)->columns(split / /, $columns);
    if ($filter ne '') {
        my ($column, $operator, $value) = split / /, $filter, 3;
        $query->filter({ $column => { $operator => $value } });
    }
    return [ $query->hashref_array ];
}

sub acknowledge {
    my ($service) = @_;
    my $now = time;
    $client->do("COMMAND [$now] ACKNOWLEDGE_SVC_PROBLEM;$service;2;1;1;anna;seen");
    return "sent";
}

sub carry_out {
    my ($verb, @fields) = @_;
    return acknowledge(@fields) if $verb eq 'acknowledge';
    my $rows = $way eq 'class' ? ask_with_class(@fields) : ask_with_text(@fields);
    return "rows\t" . $json->encode($rows);
}

$| = 1;
while (my $line = <STDIN>) {
    chomp $line;
    my $outcome = eval { carry_out(split /\t/, $line, -1) };
    $outcome = "error\t$@" if !defined $outcome;
    $outcome =~ s/\n/ /g;
    print "$outcome\n";
}
