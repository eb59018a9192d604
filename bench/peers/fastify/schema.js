import { sql } from 'drizzle-orm';
import { numeric, pgPolicy, pgTable, text, timestamp, uuid } from 'drizzle-orm/pg-core';

export const tenants = pgTable('tenants', {
  id: uuid().primaryKey(),
  code: text().notNull().unique(),
});

export const products = pgTable(
  'products',
  {
    tenantId: uuid('tenant_id').notNull(),
    id: uuid().notNull(),
    name: text().notNull(),
    code: text().notNull(),
    price: numeric({ precision: 12, scale: 2 }).notNull(),
    addedBy: uuid('added_by'),
    addedOn: timestamp('added_on', { withTimezone: true }).notNull(),
  },
  (table) => [
    pgPolicy('of_the_tenant', {
      using: sql`${table.tenantId} = current_setting('app.tenant_id')::uuid`,
    }),
  ],
);
