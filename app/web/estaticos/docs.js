// Relative addresses: the page works at /docs, behind a stage (/prod/docs) and behind a custom domain.
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  tryItOutEnabled: true,
  validatorUrl: null,
});
