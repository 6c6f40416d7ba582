from jina import Deployment, Flow
from jina.spec import DeploymentSpec, FlowSpec, GatewaySpec

class X: ...

Flow().add(uses=X, needs='gateway').add(needs=['executor0'], port=1)
Flow().add(needs=3)
Flow(protocol='http', port=1, host='127.0.0.1')
Flow(protocol=['http', 'grpc'], port=[1, 2], extra_search_paths='x', py_modules='x.py')
Flow().config_gateway(py_modules='x.py', extra_search_paths=['x'])
Deployment(py_modules='x.py', extra_search_paths='x', exit_on_exceptions='OSError', volumes='x', image_pull_secrets='x')
Deployment(py_modules=['x.py'], extra_search_paths=['x'], exit_on_exceptions=['OSError'], volumes=['x'])
Deployment(host=['a', 'b'], port=[1, 2], protocol=('grpc', 'http'), port_monitoring=[1, 2], peer_ports=3)
Deployment(host='a', port=1, protocol='grpc', port_monitoring=1, peer_ports=[3], image_pull_secrets=['x'])
DeploymentSpec(exit_on_exceptions='OSError', py_modules=None)
GatewaySpec(py_modules='x.py', deployments_no_reduce='a')
FlowSpec(py_modules='x.py', volumes='x')
