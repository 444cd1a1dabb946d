<?php
// Drives the Livestatus class of NagVis, with the few functions and classes of
// NagVis that it needs.
//
// Arguments: the folder of NagVis' classes and the socket. The input and the
// output are those of perl.pl.

// NagVis 1.9 uses functions that PHP 8.2 calls deprecated.
error_reporting(E_ALL & ~E_DEPRECATED);

const MATCH_SOCKET = '';
const MATCH_BOOLEAN = '';
const MATCH_STRING_PATH = '';
const MATCH_INTEGER = '';

class BackendConnectionProblem extends Exception {}
class BackendInvalidResponse extends Exception {}

[, $folder, $socket] = $argv;

function cfg($section, $key) {
    global $socket;
    $values = ['socket' => "unix:$socket", 'timeout' => 5, 'only_permitted_objects' => false];
    return $values[$key];
}

function l($text, $values = []) {
    foreach ($values as $name => $value)
        $text = str_replace("[$name]", $value, $text);
    return $text;
}

require "$folder/GlobalBackendInterface.php";
require "$folder/GlobalBackendmklivestatus.php";

function carry_out($nagvis, $verb, ...$fields) {
    if ($verb === 'acknowledge') {
        $nagvis->actionAcknowledge('service', $fields[0], 'seen', true, true, true, 'anna');
        return 'sent';
    }
    [$table, $columns, $filter] = $fields;
    $query = "GET $table\nColumns: $columns\n";
    if ($filter !== '')
        $query .= "Filter: $filter\n";
    $rows = $nagvis->query('', $query);
    return "rows\t" . json_encode($rows, JSON_THROW_ON_ERROR);
}

$nagvis = new GlobalBackendmklivestatus('site');
while (($line = fgets(STDIN)) !== false) {
    try {
        $outcome = carry_out($nagvis, ...explode("\t", rtrim($line, "\n")));
    } catch (Exception $exception) {
        $outcome = "error\t" . $exception->getMessage();
    }
    fwrite(STDOUT, str_replace("\n", ' ', $outcome) . "\n");
}
