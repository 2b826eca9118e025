// Shows the service's own description. It builds elements, and never reads text as HTML.
"use strict";

function element(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function table(head, rows) {
  const made = element("table");
  const line = (cells, name) => {
    const row = made.appendChild(element("tr"));
    for (const cell of cells) row.appendChild(element(name, cell));
  };
  line(head, "th");
  for (const row of rows) line(row, "td");
  return made;
}

// What a reference stands for, or the part itself.
function resolved(document, part) {
  if (!part.$ref) return part;
  return part.$ref.split("/").slice(1).reduce((place, name) => place[name], document);
}

function kind(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  const several = schema.anyOf || schema.oneOf;
  if (several) return several.map(kind).join(" or ");
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" or ");
  if (schema.type === "array") return kind(schema.items) + "[]";
  return [schema.type].flat().join(" or ");
}

function bodies(content) {
  return Object.entries(content || {}).map(([media, body]) => media + " " + kind(body.schema));
}

function examples(content) {
  const given = Object.values(content || {}).flatMap((body) => {
    const several = Object.values(body.examples || {}).map((example) => example.value);
    return [body.example, ...several];
  });
  const told = given.filter((example) => example !== undefined);
  const text = (example) => typeof example === "string" ? example : JSON.stringify(example, null, 2);
  return told.map((example) => element("pre", text(example)));
}

function operation(all, path, method, told) {
  const made = element("details");
  const summary = made.appendChild(element("summary"));
  summary.append(element("span", method.toUpperCase(), "method"), element("code", path, "path"));
  summary.append(element("span", told.summary, "help"));
  if (told.parameters.length > 0) {
    const rows = told.parameters.map((each) => resolved(all, each)).map((p) => [
      p.required ? p.name + " (required)" : p.name, p.in, kind(p.schema), p.description,
    ]);
    made.append(element("h3", "Parameters"), table(["name", "in", "type", ""], rows));
  }
  if (told.requestBody) {
    made.append(element("h3", told.requestBody.required ? "Body (required)" : "Body"));
    for (const body of bodies(told.requestBody.content)) made.append(element("p", body));
    made.append(...examples(told.requestBody.content));
  }
  made.append(element("h3", "Answers"));
  const rows = Object.entries(told.responses).map(([status, answer]) => [
    status, bodies(answer.content).join(", "), Object.keys(answer.headers || {}).join(", "), answer.description,
  ]);
  made.append(table(["status", "body", "headers", ""], rows));
  for (const answer of Object.values(told.responses)) made.append(...examples(answer.content));
  return made;
}

function schema(name, told) {
  const made = element("details");
  made.append(element("summary", name), element("pre", JSON.stringify(told, null, 2)));
  return made;
}

async function show() {
  const answer = await fetch("/openapi.json");
  const told = await answer.json();
  document.title = told.info.title;
  document.getElementById("title").textContent = told.info.title + " " + told.info.version;
  document.getElementById("description").textContent = told.info.description;
  const operations = document.getElementById("operations");
  operations.replaceChildren();
  for (const [path, methods] of Object.entries(told.paths)) {
    for (const [method, each] of Object.entries(methods)) {
      operations.append(operation(told, path, method, each));
    }
  }
  const schemas = document.getElementById("schemas");
  for (const [name, each] of Object.entries(told.components.schemas)) {
    schemas.append(schema(name, each));
  }
}

show().catch((error) => {
  const main = document.getElementById("operations");
  main.replaceChildren(element("p", "The description cannot be shown: " + error));
});
