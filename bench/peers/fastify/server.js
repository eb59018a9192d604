import cluster from 'node:cluster';

import { asc, sql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import fastify from 'fastify';
import pg from 'pg';

import { products, tenants } from './schema.js';

const setting = (name) => {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set`);
  return value;
};

const product = {
  type: 'object',
  required: ['id', 'name', 'code', 'price', 'added_by', 'added_on'],
  properties: {
    id: { type: 'string' },
    name: { type: 'string' },
    code: { type: 'string' },
    price: { type: 'string' },
    added_by: { type: ['string', 'null'] },
    added_on: { type: 'string', format: 'date-time' },
  },
};
const listed = { response: { 200: { type: 'array', items: product } } };
const added = { body: product, response: { 201: product } };

// what is told of a product, by the names that it has in JSON
const told = {
  id: products.id,
  name: products.name,
  code: products.code,
  price: products.price,
  added_by: products.addedBy,
  added_on: products.addedOn,
};

const serve = async () => {
  const pool = new pg.Pool({
    connectionString: setting('DATABASE_URL'),
    max: Number(setting('CONNECTIONS')),
    // as the others do, none is closed for having nothing to do
    idleTimeoutMillis: 0,
  });
  const db = drizzle(pool);
  // tenants are few and seldom change: they are in memory, as in the other handlers by hand
  const ids = new Map((await db.select().from(tenants)).map(({ code, id }) => [code, id]));

  const inTenant = (tenant, work) =>
    db.transaction(async (tx) => {
      // until the transaction ends, as SET LOCAL does, which takes no parameter
      await tx.execute(sql`select set_config('app.tenant_id', ${tenant}, true)`);
      return work(tx);
    });

  const app = fastify();
  app.get('/api/products', { schema: listed }, async (request, reply) => {
    const tenant = ids.get(request.headers['tenant-code']);
    if (!tenant) return reply.callNotFound();
    return inTenant(tenant, (tx) =>
      tx.select(told).from(products).orderBy(asc(products.name)).limit(20),
    );
  });
  app.post('/api/products', { schema: added }, async (request, reply) => {
    const tenantId = ids.get(request.headers['tenant-code']);
    if (!tenantId) return reply.callNotFound();
    const { id, name, code, price, added_by: addedBy, added_on } = request.body;
    const values = { tenantId, id, name, code, price, addedBy, addedOn: new Date(added_on) };
    const [one] = await inTenant(tenantId, (tx) =>
      tx.insert(products).values(values).returning(told),
    );
    return reply.code(201).send(one);
  });
  await app.listen({ host: '127.0.0.1', port: Number(setting('PORT')) });
};

if (cluster.isPrimary) {
  for (let worker = 0; worker < Number(setting('WORKERS')); worker += 1) cluster.fork();
  // what ended by itself has said why
  cluster.on('exit', () => process.exit(1));
} else {
  await serve();
}
