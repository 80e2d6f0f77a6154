"use strict";
// What stands in for Cube's native part, which its installer would download from outside of the package registry, and what
// makes a server fit for tests. Cube's own JavaScript is as it comes from the registry: its gateway (tokens, checks of
// queries, "Continue wait", errors), its compiler of models, its planner, its queue and cache, its driver for DuckDB.
//
// Of the native part only what the REST API calls is here: the last step of an answer (a table by aliases becomes one by
// members, times in one form), the set-up of a logger, and an engine for templates that refuses them. What is missing:
// the planner in Rust (CUBEJS_TESSERACT_SQL_PLANNER=false chooses the one in JavaScript), the SQL API, Python, Jinja.
const fs = require("node:fs");
const Module = require("node:module");
const net = require("node:net");
const { isMainThread } = require("node:worker_threads");

const MOMENT = /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}:\d{2})(?:\.(\d+))?)?(?: ?UTC|Z| ?\+00:?00)?$/;

function moment(value) {
  const found = typeof value === "string" ? MOMENT.exec(value) : null;
  return found ? `${found[1]}T${found[2] || "00:00:00"}.${(found[3] || "").slice(0, 3).padEnd(3, "0")}` : value;
}

function memberOf(alias, request) {
  const member = request.aliasToMemberNameMap[alias];
  if (member === undefined) {
    throw new Error(`Member name not found for alias: '${alias}'`);
  }
  if (!(member in request.annotation)) {
    throw new Error(`You requested hidden member: '${member}'. Please make it visible using \`public: true\`.`);
  }
  return member;
}

function table(request, raw) {
  const { members: aliases, columns } = JSON.parse(Buffer.from(raw).toString());
  const members = aliases.map((alias) => memberOf(alias, request));
  const cells = members.map((member, at) =>
    request.annotation[member].type === "time" ? columns[at].map(moment) : columns[at],
  );
  const count = cells.length > 0 ? cells[0].length : 0;
  const dataset = Array.from({ length: count }, (_, row) => cells.map((column) => column[row]));
  if (request.resType === "compact") {
    return { members, dataset };
  }
  return dataset.map((row) => Object.fromEntries(row.map((cell, at) => [members[at], cell])));
}

const native = {
  setupLogger() {},
  resetLogger() {},
  isFallbackBuild: () => true,
  newJinjaEngine: () => ({
    loadTemplate() {
      throw new Error("templates need Cube's native part");
    },
  }),
  async getFinalQueryResult(request, raw, root) {
    return Buffer.from(JSON.stringify({ ...root, data: table(request, raw) }));
  },
};

const load = Module._extensions[".node"];
Module._extensions[".node"] = function loadOrStandIn(module, filename) {
  if (/[\\/]@cubejs-backend[\\/]native[\\/]index\.node$/.test(filename)) {
    module.exports = native;
    return undefined;
  }
  return load.call(this, module, filename);
};

// Cube listens on all interfaces; here it listens on this machine alone, and says on which free port.
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function listenHere() {
  this.once("listening", () => {
    const file = process.env.CUBE_PORT_FILE;
    fs.writeFileSync(`${file}.part`, String(this.address().port));
    fs.renameSync(`${file}.part`, file);
  });
  return listen.call(this, 0, "127.0.0.1");
};

// Its standard input ends when whoever started it ends, however that happens. Its threads load this file too.
if (isMainThread) {
  process.stdin.on("end", () => process.exit(0)).on("error", () => process.exit(0)).resume();
}
