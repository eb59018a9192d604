import sys

from django.core.management.base import BaseCommand

from tenants.models import Domain, Tenant


class Command(BaseCommand):
    help = "Makes the tenants that the input names, one a line, each with its schema and its domain"

    def handle(self, *args, **options):
        for line in sys.stdin:
            code = line.strip()
            tenant = Tenant(schema_name=code)
            tenant.save(verbosity=0)
            Domain(domain=f"{code}.localhost", tenant=tenant, is_primary=True).save()
